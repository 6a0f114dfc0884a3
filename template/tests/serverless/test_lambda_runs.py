"""What a service promises of its runs holds on Lambda, where each environment is a process of its own."""

from __future__ import annotations

import json

import pytest

from support.aws import Aws
from support.functions import StartFunction, asked
from support.processes import Upstream
from support.runtime import Function

HELLO = {"input": "hello"}
RUN = b'{"input": "hello"}'


@pytest.fixture
def two(start_function: StartFunction, aws: Aws) -> list[Function]:
    """Two environments of one function."""
    table = f"dynamodb://{aws.table_of_state()}"
    return [
        start_function(STATE_URL=table, CACHE__TTL_SECONDS=60, LIMITS__REQUESTS_PER_MINUTE=3, **aws.environment)
        for _ in range(2)
    ]


@pytest.mark.proves("scale.horizontal")
@pytest.mark.proves("scale.rate_limits")
def test_environments_share_their_limits(two: list[Function]) -> None:
    answers = [asked(two[number % 2], "POST", "/v1/runs", RUN).result for number in range(4)]
    assert [answer["statusCode"] for answer in answers] == [200, 200, 200, 429]
    headers = {name.lower(): value for name, value in answers[-1]["headers"].items()}
    assert 0 < int(headers["retry-after"]) <= 61
    assert headers["ratelimit-remaining"] == "0"


@pytest.mark.proves("cost.cache")
@pytest.mark.proves("reliability.idempotency")
def test_what_one_environment_has_paid_for_the_other_gives_again(two: list[Function], upstream: Upstream) -> None:
    first = two[0].invoke(HELLO).result
    again = two[1].invoke(HELLO).result
    assert (again["output"], again["cached"], again["usage"]["input_tokens"]) == (first["output"], True, 0)
    once = b'{"input": "once"}'
    one, other = (asked(function, "POST", "/v1/runs", once, idempotency_key="a").result for function in two)
    assert json.loads(one["body"]) == json.loads(other["body"])
    assert upstream.attempts() == 2


@pytest.mark.proves("scale.stateless")
def test_a_conversation_goes_on_in_another_environment(two: list[Function], upstream: Upstream) -> None:
    for function, text in zip(two, ("first", "second"), strict=True):
        function.invoke({"input": text, "conversation_id": "talk"})
    said = [message["content"] for message in upstream.stats()["requests"][-1]["body"]["messages"]]
    assert said[-3:] == ["first", "You said: first", "second"]


@pytest.mark.proves("cost.spend")
def test_what_a_run_costs_is_in_its_answer_and_in_its_line_of_the_log(start_function: StartFunction) -> None:
    function = start_function(MODEL__PRIMARY="openai-chat:gpt-4o")
    usage = function.invoke({"input": "hello", "tenant": "acme"}).result["usage"]
    assert usage["cost_usd"] > 0
    [line] = function.logs("run")
    assert (line["cost_usd"], line["tenant"]) == (pytest.approx(usage["cost_usd"]), "acme")


@pytest.mark.proves("reliability.fallback")
@pytest.mark.proves("reliability.breakers")
def test_a_primary_that_is_down_is_soon_not_asked_any_more_and_the_fallback_answers(
    start_function: StartFunction, upstream: Upstream
) -> None:
    function = start_function(
        MODEL__FALLBACK="openai-chat:fallback",
        MODEL__FALLBACK_BASE_URL=f"{upstream.url}/v1",
        MODEL__FALLBACK_API_KEY="key-of-the-fallback",
        GUARD__BREAKER_MINIMUM_CALLS=4,
    )
    upstream.plays({"fault": "status", "status": 503, "model": "primary"})
    answers = [function.invoke({"input": f"hello {number}"}).result for number in range(8)]
    assert all(answer["degraded"] and answer["model"] == "openai-chat:fallback" for answer in answers)
    before = upstream.attempts("primary")
    function.invoke({"input": "hello again"})
    assert upstream.attempts("primary") == before
