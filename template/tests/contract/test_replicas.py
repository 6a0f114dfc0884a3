"""Two processes on one Redis behave as one service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx2
import pytest

from conftest import StartService, client_of
from support.processes import Redis, Service, Upstream

Client = httpx2.AsyncClient


@pytest.fixture
def replicas(start_service: StartService, redis: Redis) -> list[Service]:
    settings = {"STATE_URL": redis.url, "LIMITS__REQUESTS_PER_MINUTE": 40, "CACHE__TTL_SECONDS": 60}
    started = [start_service(ready=False, **settings) for _ in range(2)]
    return [service.wait_ready() for service in started]


@pytest.fixture
async def clients(replicas: list[Service]) -> AsyncIterator[list[Client]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(client_of(service)) for service in replicas]


async def run(client: Client, text: str, **more: str) -> httpx2.Response:
    headers = {"Idempotency-Key": more.pop("key")} if "key" in more else {}
    return await client.post("/v1/runs", json={"input": text, **more}, headers=headers)


@pytest.mark.proves("scale.horizontal")
@pytest.mark.proves("reliability.idempotency")
@pytest.mark.proves("scale.stateless")
@pytest.mark.proves("cost.cache")
@pytest.mark.proves("scale.rate_limits")
async def test_replicas_share_idempotency_cache_conversations_and_limits(
    replicas: list[Service], clients: list[Client], upstream: Upstream
) -> None:
    twins = await asyncio.gather(*[run(client, "same", key="order-1") for client in clients * 5])
    assert len({twin.text for twin in twins}) == 1
    assert upstream.attempts() == 1

    answers = [(await run(client, "cached")).json() for client in clients]
    assert [answer["cached"] for answer in answers] == [False, True]
    assert upstream.attempts() == 2

    await run(clients[0], "first", conversation_id="talk")
    replicas[0].kill()  # no conversation is in a process
    await run(clients[1], "second", conversation_id="talk")
    said = [message["content"] for message in upstream.stats()["requests"][-1]["body"]["messages"]]
    assert said[-3:] == ["first", "You said: first", "second"]

    codes = [(await run(clients[1], f"more {n}")).status_code for n in range(30)]
    assert codes == [200] * 26 + [429] * 4, "the fourteen requests before count, on both replicas"
