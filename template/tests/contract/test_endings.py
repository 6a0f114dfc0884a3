"""How an answer ended reaches the client: by itself, at a limit, at a filter, or not at all."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest

from conftest import KEY
from support.processes import Service, Upstream
from support.waiting import becomes

Client = httpx2.AsyncClient
WORDS = "a word " * 20


@pytest.fixture
async def openai_client(service: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key=KEY, max_retries=0, timeout=30) as client:
        yield client


async def last_event(client: Client) -> tuple[str, dict[str, Any]]:
    """The last event of a stream."""
    response = await client.post("/v1/runs", json={"input": "hello", "stream": True})
    name, data = response.text.strip().split("\n\n")[-1].split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


ENDINGS = pytest.mark.parametrize(
    ("told", "given"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("eos_token", "stop"),
        ("MAX_TOKENS", "length"),
        ("sensitive", "content_filter"),
        ("guardrail_intervened", "content_filter"),
    ],
)


@ENDINGS
async def test_a_run_says_how_it_ended(client: Client, upstream: Upstream, told: str, given: str) -> None:
    upstream.plays(finish_reason=told)
    whole = (await client.post("/v1/runs", json={"input": "hello"})).json()
    event, done = await last_event(client)
    assert event == "done"
    assert (whole["finish_reason"], done["finish_reason"]) == (given, given)


@pytest.mark.proves("compat.openai")
@ENDINGS
async def test_openai_clients_are_told_in_their_own_words(
    openai_client: openai.AsyncOpenAI, upstream: Upstream, told: str, given: str
) -> None:
    upstream.plays(finish_reason=told)
    wanted: dict[str, Any] = {"model": "agent", "messages": [{"role": "user", "content": "hello"}]}
    answer = await openai_client.chat.completions.create(**wanted)
    assert answer.choices[0].finish_reason == given
    chunks = [chunk async for chunk in await openai_client.chat.completions.create(**wanted, stream=True)]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == given


@pytest.mark.parametrize("ending", ["done", "reason"], ids=["[DONE] alone", "a finish reason alone"])
async def test_either_sign_of_an_ending_will_do(client: Client, upstream: Upstream, ending: str) -> None:
    upstream.plays(ending=ending, answer=WORDS)
    event, done = await last_event(client)
    assert (event, done["output"]) == ("done", WORDS)


@pytest.mark.parametrize("told", ["error", "network_error", "abort", "insufficient_system_resource"])
async def test_an_answer_that_its_server_broke_off_is_an_error(client: Client, upstream: Upstream, told: str) -> None:
    upstream.plays(finish_reason=told, answer=WORDS)
    assert (await client.post("/v1/runs", json={"input": "hello"})).status_code == 503
    event, problem = await last_event(client)
    assert (event, problem["status"]) == ("error", 503)


async def test_a_stream_that_just_stops_is_an_error(client: Client, service: Service, upstream: Upstream) -> None:
    upstream.plays(ending="none", answer=WORDS)
    before = len(service.logs("run"))
    event, problem = await last_event(client)
    assert (event, problem["status"]) == ("error", 503)
    await becomes(lambda: len(service.logs("run")) > before, what="the run is accounted for")
    assert service.logs("run")[before]["outcome"] == "model-unavailable"


@pytest.mark.proves("compat.openai")
async def test_openai_clients_raise_when_a_stream_just_stops(
    openai_client: openai.AsyncOpenAI, upstream: Upstream
) -> None:
    upstream.plays(ending="none", answer=WORDS)
    stream = await openai_client.chat.completions.create(
        model="agent", messages=[{"role": "user", "content": "hello"}], stream=True
    )
    with pytest.raises(openai.APIError):
        [chunk async for chunk in stream]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_limit_that_is_reached_before_the_first_word_is_an_ending_too(
    client: Client, upstream: Upstream, stream: bool
) -> None:
    """It was paid for, and another attempt ends in the same way."""
    upstream.plays(finish_reason="length", answer="")
    if stream:
        _, answer = await last_event(client)
    else:
        response = await client.post("/v1/runs", json={"input": "hello"})
        assert response.status_code == 200
        answer = response.json()
    assert (answer["output"], answer["finish_reason"]) == ("", "length")
    assert answer["usage"]["output_tokens"] == 20
    assert upstream.attempts() == 1


async def test_an_answer_without_a_word_is_asked_for_again_by_the_run_alone(
    service: Service, client: Client, upstream: Upstream
) -> None:
    """Each time is paid for: an SDK that repeated the request by itself would make nine calls of three."""
    upstream.plays(answer="")
    response = await client.post("/v1/runs", json={"input": "hello"})
    assert (response.status_code, response.headers.get("x-should-retry")) == (503, "false")
    assert "could not be used" in response.json()["detail"]
    calls = upstream.attempts()
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key=KEY, max_retries=2) as retrying:
        with pytest.raises(openai.InternalServerError):
            await retrying.chat.completions.create(model="agent", messages=[{"role": "user", "content": "hello"}])
    assert upstream.attempts() == 2 * calls


async def test_a_filter_that_left_nothing_is_a_refusal(client: Client, upstream: Upstream) -> None:
    upstream.plays(finish_reason="content_filter", answer="")
    assert (await client.post("/v1/runs", json={"input": "hello"})).status_code == 422
    assert upstream.attempts() == 1
