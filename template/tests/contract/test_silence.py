"""Streams pass through proxies: these hold back small pieces, and cut connections that are silent."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import openai
import pytest

from conftest import KEY, StartService, client_of, settings_for
from support.processes import Service, Upstream
from support.waiting import becomes

COMMENT = ": no news"
RUNS: tuple[str, dict[str, Any]] = ("/v1/runs", {"input": "hello", "stream": True})
CHAT: tuple[str, dict[str, Any]] = (
    "/v1/chat/completions",
    {"messages": [{"role": "user", "content": "hello"}], "stream": True},
)
DOORS = pytest.mark.parametrize(("path", "body"), [RUNS, CHAT], ids=["runs", "chat"])


@pytest.fixture(scope="module")
def shared(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service for proxies that cut streams after fractions of a second."""
    settings = settings_for(
        shared_upstream,
        STREAM__STATUS_SECONDS=0.6,
        STREAM__COMMENT_SECONDS=0.3,
        GUARD__BREAKER_MINIMUM_CALLS=1_000_000,
    )
    service = Service(tmp_path_factory.mktemp("silence"), **settings).wait_ready()
    yield service
    shared_upstream.plays()
    assert service.stop() == 0, service.output


@pytest.fixture
def impatient(shared: Service, upstream: Upstream) -> Service:
    return shared


@pytest.fixture
async def client(impatient: Service) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(impatient) as client:
        yield client


@DOORS
async def test_a_stream_begins_before_the_first_piece(
    client: httpx2.AsyncClient, upstream: Upstream, path: str, body: dict[str, Any]
) -> None:
    upstream.plays(latency=2.0)
    started = time.perf_counter()
    async with client.stream("POST", path, json=body) as response:
        lines = response.aiter_lines()
        while await anext(lines) != COMMENT:
            pass
        assert 0.5 < time.perf_counter() - started < 1.5
        assert response.status_code == 200
        rest = [line async for line in lines]
    assert rest.count(COMMENT) >= 2, "and is not silent from then on"
    assert any("hello" in line for line in rest), "the answer comes"


@DOORS
async def test_a_stream_that_pauses_is_not_silent(
    client: httpx2.AsyncClient, upstream: Upstream, path: str, body: dict[str, Any]
) -> None:
    upstream.plays(chunk_seconds=0.7)
    text = (await client.post(path, json=body)).text
    assert COMMENT in text[text.index("You") : text.index("hello")]


@DOORS
async def test_a_failure_in_time_has_its_own_status(
    client: httpx2.AsyncClient, upstream: Upstream, path: str, body: dict[str, Any]
) -> None:
    upstream.plays({"fault": "status", "status": 400})
    response = await client.post(path, json=body)
    assert response.status_code in (400, 422)
    assert "json" in response.headers["content-type"]


@DOORS
async def test_a_failure_after_that_ends_the_stream_with_an_error(
    start_service: StartService, upstream: Upstream, path: str, body: dict[str, Any]
) -> None:
    service = start_service(STREAM__STATUS_SECONDS=0.2, RUN__DEADLINE_SECONDS=1)
    upstream.plays({"fault": "hang"})
    async with client_of(service) as client:
        response = await client.post(path, json=body)
    assert response.status_code == 200
    assert "error" in response.text.strip().split("\n\n")[-1]


@DOORS
async def test_a_silent_stream_that_is_left_cancels_its_run(
    client: httpx2.AsyncClient, upstream: Upstream, path: str, body: dict[str, Any]
) -> None:
    upstream.plays(latency=30.0)
    async with client.stream("POST", path, json=body) as response:
        async for line in response.aiter_lines():
            if line == COMMENT:
                break
    await becomes(lambda: upstream.stats()["abandoned"] == 1, what="the upstream's connection is closed")


@DOORS
async def test_no_proxy_holds_a_stream_back_or_keeps_it(
    client: httpx2.AsyncClient, upstream: Upstream, path: str, body: dict[str, Any]
) -> None:
    headers = (await client.post(path, json=body)).headers
    assert headers["x-accel-buffering"] == "no"
    assert headers.get_list("cache-control") == ["no-store"]


@pytest.mark.proves("compat.openai")
async def test_openai_clients_do_not_see_the_comments(impatient: Service, upstream: Upstream) -> None:
    upstream.plays(latency=1.0, chunk_seconds=0.5)
    async with openai.AsyncOpenAI(base_url=f"{impatient.url}/v1", api_key=KEY, max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="agent", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(pieces) == "You said: hello"
