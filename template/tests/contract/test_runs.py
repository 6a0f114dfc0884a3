"""`POST /v1/runs` over a real socket: the promises to clients."""

from __future__ import annotations

import asyncio
import json

import httpx2
import pytest

from conftest import KEY, OTHER_KEY, StartService, client_of
from support.processes import Service, Upstream
from support.waiting import becomes

Client = httpx2.AsyncClient


async def test_a_run_answers_with_output_model_and_usage(client: Client) -> None:
    response = await client.post("/v1/runs", json={"input": "hello"})
    assert response.status_code == 200
    answer = response.json()
    assert answer.pop("id")
    assert answer == {
        "output": "You said: hello",
        "model": "openai-chat:primary",
        "usage": {"input_tokens": 100, "output_tokens": 20, "cost_usd": None, "estimated": False},
        "finish_reason": "stop",
        "degraded": False,
        "cached": False,
        "conversation_id": None,
    }


async def test_the_agent_calls_its_tools_and_answers_with_their_results(client: Client, upstream: Upstream) -> None:
    response = await client.post(
        "/v1/runs", json={"input": 'call convert_units {"value": 12, "source": "km", "target": "miles"}'}
    )
    assert response.json()["output"] == "The tool said: 7.46"
    assert response.json()["usage"]["input_tokens"] == 200
    assert upstream.attempts() == 2


async def test_a_tool_that_calls_an_http_api_gets_its_answer(client: Client, upstream: Upstream) -> None:
    response = await client.post("/v1/runs", json={"input": 'call exchange_rate {"base": "EUR", "quote": "USD"}'})
    assert response.json()["output"] == "The tool said: 1.08"
    assert upstream.stats()["attempts"]["/latest"] == {"-": 1}


@pytest.mark.proves("security.input")
async def test_tool_arguments_are_validated_before_the_tool_runs(client: Client, upstream: Upstream) -> None:
    response = await client.post("/v1/runs", json={"input": 'call exchange_rate {"base": "EUR", "quote": "../admin"}'})
    assert response.status_code == 200
    assert "/latest" not in upstream.stats()["attempts"]


@pytest.mark.proves("security.input")
@pytest.mark.parametrize(
    "data",
    [
        "[" * 1_000_000,
        '{"rates": {"USD": ' + "9" * 400 + "}}",
        '{"rates": {"USD": ' + "9" * 5_000 + "}}",
        '{"rates": {"USD": 1e999}}',
        '{"rates": {"USD": NaN}}',
        '{"rates": {"USD": null}}',
        '{"rates": [1]}',
        '"rates"',
        "0",
        '{"rates": {"USD": "\\ud800"}}',
        '{"a":' * 100_000,
    ],
    ids=range(11),
)
async def test_no_response_of_a_tools_api_is_an_error_of_the_service(
    client: Client, upstream: Upstream, data: str
) -> None:
    upstream.plays({"fault": "body", "path": "/latest", "text": data})
    response = await client.post("/v1/runs", json={"input": 'call exchange_rate {"base": "EUR", "quote": "USD"}'})
    assert response.status_code == 200, response.text
    assert response.json()["output"].startswith("The tool said")


@pytest.mark.proves("reliability.fallback")
async def test_a_tool_whose_api_is_down_does_not_end_the_run(client: Client, upstream: Upstream) -> None:
    upstream.plays({"fault": "status", "status": 500, "path": "/latest"})
    response = await client.post("/v1/runs", json={"input": 'call exchange_rate {"base": "EUR", "quote": "USD"}'})
    assert response.status_code == 200
    assert "not available" in response.json()["output"]


@pytest.mark.proves("observe.logs")
async def test_the_request_id_comes_back_and_is_in_every_log_line_of_the_request(
    client: Client, service: Service
) -> None:
    response = await client.post("/v1/runs", json={"input": "hello"}, headers={"X-Request-Id": "my-request.1"})
    assert response.headers["x-request-id"] == "my-request.1"
    service.logged("request", request_id="my-request.1")
    assert {line["event"] for line in service.logs(request_id="my-request.1")} >= {"run", "request"}


@pytest.mark.parametrize("given", ["", "a b", "x" * 200, "ünïcode", '"quoted"'], ids=range(5))
async def test_an_invalid_request_id_is_replaced(client: Client, given: str) -> None:
    response = await client.get("/livez", headers=[(b"X-Request-Id", given.encode())])
    assert response.headers["x-request-id"].isalnum()


async def test_a_conversation_goes_on_under_its_id(client: Client, upstream: Upstream) -> None:
    for text in ("first", "second"):
        response = await client.post("/v1/runs", json={"input": text, "conversation_id": "talk-1"})
        assert response.json()["conversation_id"] == "talk-1"
    said = [message["content"] for message in upstream.stats()["requests"][-1]["body"]["messages"]]
    assert said[-3:] == ["first", "You said: first", "second"]


@pytest.mark.proves("scale.stateless")
async def test_no_tenant_reaches_anothers_conversation(client: Client, service: Service, upstream: Upstream) -> None:
    await client.post("/v1/runs", json={"input": "my secret plan", "conversation_id": "talk-2"})
    async with client_of(service, OTHER_KEY) as other:
        await other.post("/v1/runs", json={"input": "what did I say?", "conversation_id": "talk-2"})
    assert "my secret plan" not in json.dumps(upstream.stats()["requests"][-1]["body"]["messages"])


@pytest.mark.proves("security.output")
async def test_hostile_answers_are_neutralised(client: Client, upstream: Upstream) -> None:
    upstream.plays(answer="<script>alert(1)</script> ![x](https://evil.example/?q=1) model-key-of-the-tests \u202eend")
    output = (await client.post("/v1/runs", json={"input": "hello"})).json()["output"]
    for bad in ("<script", "![", "model-key-of-the-tests", "\u202e"):
        assert bad not in output
    assert "end" in output


@pytest.mark.proves("reliability.retries")
@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_transient_failures_are_retried_and_the_sdk_adds_no_attempts_of_its_own(
    client: Client, upstream: Upstream, status: int
) -> None:
    upstream.plays({"fault": "status", "status": status, "times": 1})
    response = await client.post("/v1/runs", json={"input": "hello"})
    assert response.status_code == 200
    assert upstream.attempts() == 2


@pytest.mark.proves("reliability.retries")
async def test_a_request_that_the_provider_refuses_is_not_retried(client: Client, upstream: Upstream) -> None:
    upstream.plays({"fault": "status", "status": 400})
    response = await client.post("/v1/runs", json={"input": "hello"})
    assert response.status_code == 422
    assert upstream.attempts() == 1


@pytest.mark.proves("reliability.idempotency")
async def test_the_same_key_and_body_get_the_same_answer_from_one_model_call(
    client: Client, upstream: Upstream
) -> None:
    headers = {"Idempotency-Key": "order-1"}
    responses = await asyncio.gather(
        *[client.post("/v1/runs", json={"input": "hello"}, headers=headers) for _ in range(20)]
    )
    assert {response.status_code for response in responses} == {200}
    assert len({response.text for response in responses}) == 1
    assert upstream.attempts() == 1
    replayed = [response.headers.get("idempotency-replayed") for response in responses]
    assert replayed.count("true") == 19


@pytest.mark.proves("reliability.idempotency")
async def test_the_same_key_with_another_body_is_a_conflict(client: Client) -> None:
    headers = {"Idempotency-Key": "order-2"}
    await client.post("/v1/runs", json={"input": "hello"}, headers=headers)
    response = await client.post("/v1/runs", json={"input": "goodbye"}, headers=headers)
    assert response.status_code == 409
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.proves("reliability.idempotency")
async def test_an_idempotency_key_belongs_to_its_tenant(client: Client, service: Service, upstream: Upstream) -> None:
    headers = {"Idempotency-Key": "order-3"}
    await client.post("/v1/runs", json={"input": "hello"}, headers=headers)
    async with client_of(service, OTHER_KEY) as other:
        response = await other.post("/v1/runs", json={"input": "goodbye"}, headers=headers)
    assert response.json()["output"] == "You said: goodbye"
    assert upstream.attempts() == 2


@pytest.mark.proves("reliability.timeouts")
async def test_a_client_that_disconnects_cancels_its_run_and_the_cost_is_booked(
    client: Client, service: Service, upstream: Upstream
) -> None:
    upstream.plays({"fault": "hang"})
    headers = {"X-Request-Id": "impatient"}
    gone = asyncio.create_task(client.post("/v1/runs", json={"input": "hello"}, headers=headers))
    await becomes(lambda: upstream.attempts() == 1)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await becomes(lambda: upstream.stats()["abandoned"] == 1, what="the upstream's connection is closed")
    line = service.logged("run", request_id="impatient")
    assert line["outcome"] == "cancelled"
    assert service.logged(audit=True, run_id=line["run_id"])["outcome"] == "cancelled"


@pytest.mark.proves("cost.cache")
async def test_identical_work_of_a_tenant_is_paid_for_once(start_service: StartService, upstream: Upstream) -> None:
    service = start_service(CACHE__TTL_SECONDS=60)
    async with client_of(service, KEY) as client, client_of(service, OTHER_KEY) as other:
        twins = await asyncio.gather(*[client.post("/v1/runs", json={"input": "hello"}) for _ in range(10)])
        assert upstream.attempts() == 1
        assert [twin.json()["cached"] for twin in twins].count(False) == 1
        later = (await client.post("/v1/runs", json={"input": "hello"})).json()
        assert (later["cached"], later["usage"]["input_tokens"]) == (True, 0)
        assert upstream.attempts() == 1
        assert not (await other.post("/v1/runs", json={"input": "hello"})).json()["cached"]
        assert upstream.attempts() == 2
