"""What was paid for is given, and nobody is invited to pay again for what stays refused."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import httpx2
import openai
import pytest

from conftest import KEY, StartService, client_of
from support.processes import Json, Redis, Service, Upstream
from support.waiting import becomes

Client = httpx2.AsyncClient
TOOL = 'call convert_units {"value": 12, "source": "km", "target": "miles"}'
HELD_OFF = {"GUARD__BREAKER_MINIMUM_CALLS": 1_000_000, "GUARD__RETRY_BUDGET": 1.0}


def events(text: str) -> list[tuple[str, Json]]:
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


async def ask(client: Client, text: str = "hello", *, key: str | None = None, **fields: Any) -> httpx2.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await client.post("/v1/runs", json={"input": text, **fields}, headers=headers)


@pytest.mark.proves("cost.budgets")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_an_answer_that_ends_over_its_runs_budget_is_given(start_service: StartService, stream: bool) -> None:
    async with client_of(start_service(BUDGET__TOKENS_PER_RUN=110)) as client:
        response = await ask(client, stream=stream)
    answer = events(response.text)[-1][1] if stream else response.json()
    assert answer["output"] == "You said: hello"
    assert answer["usage"]["input_tokens"] == 100


@pytest.mark.proves("cost.budgets")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_no_call_begins_when_the_runs_budget_is_used_up_and_no_client_asks_again(
    start_service: StartService, upstream: Upstream, stream: bool
) -> None:
    service = start_service(BUDGET__TOKENS_PER_RUN=110)  # a call takes 120
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key=KEY) as client:  # which would try twice more
        messages: Any = [{"role": "user", "content": TOOL}]
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(model="any", messages=messages, stream=stream)
    assert caught.value.status_code == 429
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in caught.value.response.headers
    assert upstream.attempts() == 1
    service.logged("run")
    assert len(service.logs("run")) == 1


@pytest.mark.proves("cost.budgets")
async def test_failed_attempts_use_the_runs_budget_up_too(start_service: StartService, upstream: Upstream) -> None:
    service = start_service(BUDGET__TOKENS_PER_RUN=300, GUARD__TIMEOUT_SECONDS=0.3, **HELD_OFF)
    upstream.plays({"fault": "hang"})
    async with client_of(service) as client:
        response = await ask(client, "four letters " * 100)
    assert response.status_code == 429
    assert upstream.attempts() == 1


@pytest.mark.proves("cost.budgets")
async def test_final_refusals_say_that_they_are_final(start_service: StartService, upstream: Upstream) -> None:
    """Clients ask again by themselves after 408, 409, 429 and 5xx: only where it can help."""
    service = start_service(BUDGET__TOKENS_PER_DAY=300, RUN__DEADLINE_SECONDS=0.5, **HELD_OFF)
    async with client_of(service) as client:
        await ask(client, key="one")
        conflict = await ask(client, "another", key="one")
        upstream.plays({"fault": "status", "status": 503})
        passing = await ask(client)
        upstream.plays({"fault": "hang"})
        too_late = await ask(client)
        upstream.plays(prompt_tokens=1_000)
        await ask(client)
        spent = await ask(client)
        wrong = await client.post("/v1/runs", json={})
    for response, status in ((conflict, 409), (too_late, 504), (spent, 429), (wrong, 422)):
        assert (response.status_code, response.headers.get("x-should-retry")) == (status, "false"), response.text
    assert int(spent.headers["retry-after"]) > 0, "until the day is over"
    assert (passing.status_code, passing.headers.get("x-should-retry")) == (503, None)
    assert int(passing.headers["retry-after"]) > 0


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405])
async def test_a_refusal_that_lasts_says_so(client: Client, upstream: Upstream, status: int) -> None:
    """A key, an account or an address is wrong: another attempt of the client would meet with the same."""
    upstream.plays({"fault": "status", "status": status})
    response = await ask(client)
    assert (response.status_code, response.headers.get("x-should-retry")) == (503, "false")
    assert int(response.headers["retry-after"]) > 0, "for those that wait for the operator"


@pytest.mark.proves("reliability.idempotency")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_client_that_timed_out_finds_its_answer_under_its_key(
    client: Client, service: Service, upstream: Upstream, stream: bool
) -> None:
    upstream.plays(latency=1.0)
    key = f"late-{stream}"
    with pytest.raises(httpx2.ReadTimeout):
        await client.post(
            "/v1/runs", json={"input": "hello", "stream": stream}, headers={"Idempotency-Key": key}, timeout=0.3
        )
    response = await ask(client, key=key, stream=stream)
    assert response.status_code == 200
    assert response.headers["idempotency-replayed"] == "true"
    assert "You said: hello" in response.text
    assert (upstream.attempts(), upstream.stats()["abandoned"]) == (1, 0)


@pytest.mark.proves("reliability.idempotency")
async def test_a_stream_that_was_left_goes_on_for_who_comes_back(
    client: Client, service: Service, upstream: Upstream
) -> None:
    answer = "word " * 200  # more pieces than are kept for a reader
    upstream.plays(chunk_seconds=0.005, answer=answer)
    body, headers = {"input": "hello", "stream": True}, {"Idempotency-Key": "left", "X-Request-Id": "left-behind"}
    async with client.stream("POST", "/v1/runs", json=body, headers=headers) as response:
        async for line in response.aiter_lines():
            if line.startswith("event: delta"):
                break
    again = await ask(client, key="left", stream=True)
    assert again.headers["idempotency-replayed"] == "true"
    assert [event for event, _ in events(again.text)] == ["delta", "done"]
    assert events(again.text)[-1][1]["output"] == answer
    assert (upstream.attempts(), upstream.stats()["abandoned"]) == (1, 0)
    assert service.logged("run", request_id="left-behind")["outcome"] == "ok"


@pytest.mark.proves("reliability.idempotency")
async def test_a_replayed_stream_says_so_and_the_first_does_not(client: Client) -> None:
    first, second = [await ask(client, key="said", stream=True) for _ in range(2)]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert events(first.text)[-1] == events(second.text)[-1]


@pytest.mark.proves("scale.backpressure")
async def test_a_run_that_was_left_behind_keeps_its_place_and_a_twin_that_leaves_does_not(
    start_service: StartService, upstream: Upstream
) -> None:
    """What goes on without a client is bounded as well, and who only waits for it is not needed."""
    service = start_service(LIMITS__MAX_IN_FLIGHT=2)
    upstream.plays(latency=2.0)
    async with client_of(service) as client:

        async def leaves() -> None:
            with pytest.raises(httpx2.ReadTimeout):
                await client.post("/v1/runs", json={"input": "hello"}, headers={"Idempotency-Key": "kept"}, timeout=0.3)

        await leaves()  # the run goes on
        await leaves()  # its twin waited for it, and does no more
        asking = asyncio.create_task(ask(client, "takes the second place"))
        await becomes(lambda: upstream.stats()["open"] == 2, within=1.5, what="there was a place")
        assert (await ask(client, "the third")).status_code == 503
        assert (await asking).status_code == 200
        assert (await ask(client, key="kept")).headers["idempotency-replayed"] == "true"
    assert upstream.attempts() == 2


@pytest.mark.proves("scale.balancing")
async def test_a_run_that_was_left_behind_is_finished_before_the_service_ends(
    start_service: StartService, upstream: Upstream
) -> None:
    service = start_service()
    upstream.plays(latency=1.0)
    async with client_of(service) as client:
        with pytest.raises(httpx2.ReadTimeout):
            await client.post("/v1/runs", json={"input": "hello"}, headers={"Idempotency-Key": "last"}, timeout=0.3)
    service.signal(signal.SIGTERM)
    await becomes(lambda: service.exited is not None, what="it ends")
    service.logged("run", outcome="ok")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_of_several_turns_of_a_conversation_at_once_each_is_answered_and_remembered(
    stream: bool, client: Client, upstream: Upstream
) -> None:
    talk, turns = f"at-once-{stream}", [f"turn {n}" for n in range(5)]
    upstream.plays({"fault": "latency", "seconds": 0.3})
    answers = await asyncio.gather(*[ask(client, turn, conversation_id=talk, stream=stream) for turn in turns])
    assert [answer.status_code for answer in answers] == [200] * 5
    assert all(f"You said: {turn}" in answer.text for turn, answer in zip(turns, answers, strict=True))
    upstream.plays()
    upstream.forget()
    await ask(client, "and now", conversation_id=talk)
    sent = json.dumps(upstream.stats()["requests"][-1]["body"]["messages"])
    assert all(sent.count(f"You said: {turn}") == 1 for turn in turns), sent


async def test_an_answer_whose_conversation_cannot_be_stored_is_given(client: Client, upstream: Upstream) -> None:
    upstream.plays(answer="half of a pair: \ud83d.")
    answer = await ask(client, conversation_id="half-a-pair")
    assert answer.status_code == 200
    assert answer.json()["output"].startswith("half of a pair: ")


@pytest.mark.proves("reliability.failover")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_an_answer_is_given_though_the_deadline_passes_while_it_is_stored(
    stream: bool, start_service: StartService, upstream: Upstream, own_redis: Redis
) -> None:
    service = start_service(STATE_URL=own_redis.url, RUN__DEADLINE_SECONDS=2, **HELD_OFF)
    async with client_of(service) as client:
        await ask(client, conversation_id="warm")
        upstream.plays({"fault": "latency", "seconds": 1})
        before = upstream.attempts()
        asked = asyncio.create_task(ask(client, conversation_id="talk", stream=stream))
        await becomes(lambda: upstream.attempts() > before, what="the model works")
        own_redis.freeze()
        answer = await asked
        own_redis.thaw()
    assert answer.status_code == 200
    assert "You said: hello" in answer.text
    assert "deadline" not in answer.text
    assert service.logged("answer_not_stored")["error"] == "TimeoutError"
    assert service.metric("agent_answer_not_stored_total") == 1
