"""Streams of task events: what they cost, and when they end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from conftest import KEY, OTHER_KEY, StartService, client_of
from support.fleet import Fleet
from support.processes import Service, new_key
from support.waiting import becomes

pytestmark = pytest.mark.parametrize("shared_fleet", ["sqlite"], indirect=True)

StartGateway = Callable[..., Service]


@pytest.fixture
def start_gateway(queue: Fleet, start_service: StartService) -> Iterator[StartGateway]:
    yield lambda **settings: start_service(QUEUE__DATABASE_URL=queue.url, **settings)
    queue.database.do("UPDATE workflow_status SET status = 'CANCELLED' WHERE status = 'DELAYED'")


async def waiting_task(client: httpx2.AsyncClient) -> str:
    response = await client.post("/v1/tasks", json={"input": "hello", "delay_seconds": 600})
    assert response.status_code == 202, response.text
    return str(response.headers["location"])


async def watched(client: httpx2.AsyncClient, task: str, streams: AsyncExitStack) -> AsyncIterator[str]:
    """An open stream's lines, after its first event."""
    response = await streams.enter_async_context(client.stream("GET", f"{task}/events", timeout=30))
    assert response.status_code == 200
    lines = response.aiter_lines()
    streams.callback(bool, lines)  # keeps them: a stream closes with its lines
    async for line in lines:
        if line.startswith("data: "):
            break
    return lines


@pytest.mark.proves("pattern.bulkhead")
async def test_streams_of_events_take_no_place_of_the_work_in_flight(start_gateway: StartGateway) -> None:
    gateway = start_gateway(LIMITS__MAX_IN_FLIGHT=2, LIMITS__RESERVED_SHARE=0)
    async with client_of(gateway) as client, client_of(gateway, OTHER_KEY) as other, AsyncExitStack() as streams:
        task = await waiting_task(client)
        for _ in range(5):
            await watched(client, task, streams)
        for one in (client, other):
            assert (await one.post("/v1/runs", json={"input": "hello"})).status_code == 200


@pytest.mark.proves("pattern.bulkhead", "security.bounds")
async def test_streams_of_one_tenant_leave_places_to_the_others(start_gateway: StartGateway) -> None:
    gateway = start_gateway(LIMITS__MAX_WATCHERS=4)
    async with client_of(gateway) as client, client_of(gateway, OTHER_KEY) as other:
        task, theirs = await waiting_task(client), await waiting_task(other)
        async with AsyncExitStack() as streams:
            for _ in range(4):
                await watched(client, task, streams)
            refused = await client.get(f"{task}/events")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            await watched(other, theirs, streams)
        async with AsyncExitStack() as streams:
            await becomes_free(client, task, streams)


async def becomes_free(client: httpx2.AsyncClient, task: str, streams: AsyncExitStack) -> None:
    """The places of streams that were closed are free after a moment."""
    async with asyncio.timeout(10):
        for _ in range(4):
            while True:
                response = await streams.enter_async_context(client.stream("GET", f"{task}/events"))
                if response.status_code == 200:
                    break
                await asyncio.sleep(0.05)


@pytest.mark.proves("security.bounds")
async def test_a_stream_of_events_ends_at_its_age(start_gateway: StartGateway) -> None:
    gateway = start_gateway(LIMITS__WATCH_SECONDS=1)
    async with client_of(gateway) as client, AsyncExitStack() as streams, asyncio.timeout(10):
        lines = await watched(client, await waiting_task(client), streams)
        assert [line async for line in lines if line.startswith("data: ")] == []


@pytest.mark.proves("security.rotation")
async def test_a_revoked_key_ends_its_streams(start_gateway: StartGateway, tmp_path: Path) -> None:
    (key, mine), (other_key, other) = new_key(), new_key()
    folder = tmp_path / "secrets"
    folder.mkdir()

    def mount(**keys: str) -> None:
        entries = {name: {"hash": hash_, "tenant": "acme"} for name, hash_ in keys.items()}
        (folder / ".keys").write_text(json.dumps(entries))
        (folder / ".keys").rename(folder / "AUTH__KEYS")

    mount(one=mine, two=other)
    gateway = start_gateway(
        SECRETS__SOURCE="files", SECRETS__DIR=str(folder), SECRETS__REFRESH_SECONDS=1, AUTH__KEYS={}
    )
    async with client_of(gateway, key) as client, client_of(gateway, other_key) as stays, AsyncExitStack() as streams:
        task = await waiting_task(client)
        lines, others = await watched(client, task, streams), await watched(stays, task, streams)
        mount(two=other)
        async with asyncio.timeout(10):
            told = [line async for line in lines if line]
        assert told[0] == "event: error"
        assert json.loads(told[1].removeprefix("data: "))["status"] == 401
        await stays.delete(task)
        async with asyncio.timeout(10):
            assert "cancelled" in "".join([line async for line in others])


async def test_a_watcher_that_comes_later_sees_the_end_as_well(start_gateway: StartGateway, queue: Fleet) -> None:
    gateway = start_gateway()
    async with client_of(gateway, KEY) as client, AsyncExitStack() as streams, asyncio.timeout(20):
        task = await waiting_task(client)
        first = await watched(client, task, streams)
        await asyncio.sleep(1)  # the first look is over
        second = await watched(client, task, streams)
        await client.delete(task)
        for lines in (first, second):
            assert "cancelled" in "".join([line async for line in lines])


async def test_a_database_that_is_away_ends_no_stream(start_gateway: StartGateway, queue: Fleet) -> None:
    gateway = start_gateway()
    async with client_of(gateway) as client, AsyncExitStack() as streams, asyncio.timeout(30):
        task = await waiting_task(client)
        lines = await watched(client, task, streams)
        queue.database.do("ALTER TABLE workflow_status RENAME TO away")
        try:
            await becomes(lambda: bool(gateway.logs("queue_database_unreachable")))
        finally:
            queue.database.do("ALTER TABLE away RENAME TO workflow_status")
        await client.delete(task)
        assert "cancelled" in "".join([line async for line in lines])
