"""Every shape in which AWS sends a request, and what is none."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from conftest import KEY
from support.processes import Upstream
from support.runtime import Function, event_of

BODY = '{"input": "hello"}'
HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
Json = dict[str, Any]

V2 = event_of("POST", "/v1/runs", BODY.encode(), HEADERS)
STAGED = event_of("POST", "/prod/v1/runs", BODY.encode(), HEADERS)
STAGED["requestContext"]["stage"] = "prod"
V1: Json = {
    "resource": "/{proxy+}",
    "path": "/v1/runs",
    "httpMethod": "POST",
    "headers": HEADERS,
    "multiValueHeaders": {name: [value] for name, value in HEADERS.items()},
    "queryStringParameters": None,
    "multiValueQueryStringParameters": None,
    "requestContext": {"identity": {"sourceIp": "127.0.0.1"}, "httpMethod": "POST", "path": "/prod/v1/runs"},
    "body": BODY,
    "isBase64Encoded": False,
}
ALB: Json = {
    "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/t/1"}},
    "httpMethod": "POST",
    "path": "/v1/runs",
    "queryStringParameters": {},
    "headers": HEADERS,
    "body": BODY,
    "isBase64Encoded": False,
}
ALB_MULTI = {
    **{name: value for name, value in ALB.items() if name not in ("headers", "queryStringParameters")},
    "multiValueHeaders": {name: [value] for name, value in HEADERS.items()},
    "multiValueQueryStringParameters": {},
}
SHAPES = {
    "function URL, API Gateway v2": V2,
    "v2, plain body": {**V2, "body": BODY, "isBase64Encoded": False},
    "API Gateway v1": V1,
    "v1, base 64": {**V1, "body": base64.b64encode(BODY.encode()).decode(), "isBase64Encoded": True},
    "v2, named stage": STAGED,
    "v2, named stage and its own route": {**STAGED, "routeKey": "POST /v1/runs"},
    "v2, base path of a domain": {
        **event_of("POST", "/a/b/v1/runs", BODY.encode(), HEADERS),
        "routeKey": "ANY /v1/{proxy+}",
        "pathParameters": {"proxy": "runs"},
    },
    "v2, its own route": {**V2, "routeKey": "POST /v1/runs"},
    "v1, base path of a domain": {**V1, "path": "/agents/v1/runs", "pathParameters": {"proxy": "v1/runs"}},
    "load balancer": ALB,
    "load balancer, multi-value headers": ALB_MULTI,
}
LATER = {name: value for name, value in V2.items() if name != "requestContext"}
MALFORMED = {
    "v2 without a method": {**V2, "requestContext": {"http": {}}},
    "v2 with nothing in its context": {**V2, "requestContext": {}},
    "context of another type": {**V2, "requestContext": "context"},
    "body that is no base 64": {**V2, "body": "\u00fc%%%", "isBase64Encoded": True},
    "headers that are none": {**V2, "headers": ["authorization"]},
    "v1 without a path": {name: value for name, value in V1.items() if name != "path"},
    "load balancer without headers": {name: value for name, value in ALB.items() if name != "headers"},
    "header of another type": {**V2, "headers": {"authorization": 7}},
}
NO_RUNS: dict[str, object] = {
    "nothing": None,
    "a list": [],
    "a text": "hello",
    "a number": 7,
    "an empty object": {},
    "no input": {"tenant": "acme"},
    "an unknown field": {"input": "hello", "inputs": 1},
    "an input of another type": {"input": 7},
    "a tenant that is none": {"input": "hello", "tenant": "../acme"},
    "records of a queue": {"Records": [{"eventSource": "aws:sqs", "body": "{}"}]},
    "a request that has lost its context": LATER,
    "a scheduled event": {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},
}


@pytest.mark.parametrize("event", SHAPES.values(), ids=SHAPES)
def test_a_request_is_answered_in_the_form_its_sender_understands(event: Json, function: Function) -> None:
    invocation = function.invoke(event)
    assert invocation.error is None
    assert invocation.result["statusCode"] == 200
    assert json.loads(invocation.result["body"])["output"] == "You said: hello"
    headers = {name.lower(): value for name, value in _headers(invocation.result).items()}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["ratelimit-limit"] == "100000"
    assert headers["x-request-id"]


@pytest.mark.proves("security.input")
@pytest.mark.parametrize("event", MALFORMED.values(), ids=MALFORMED)
def test_an_event_that_cannot_be_read_is_a_400_and_hurts_nobody(event: Json, function: Function) -> None:
    invocation = function.invoke(event)
    assert invocation.error is None, invocation.error
    assert 400 <= invocation.result["statusCode"] < 500
    assert "Traceback" not in invocation.result["body"]
    assert function.invoke(V2).result["statusCode"] == 200


@pytest.mark.proves("security.input")
@pytest.mark.parametrize("event", NO_RUNS.values(), ids=NO_RUNS)
def test_an_invocation_that_is_no_run_gets_a_problem_that_no_retry_would_help(
    event: object, function: Function
) -> None:
    invocation = function.invoke(event)
    assert invocation.error is None, invocation.error
    assert invocation.result["type"] == "urn:problem:invalid-input"
    assert "`input`" in invocation.result["detail"]


@pytest.mark.proves("reliability.idempotency")
def test_an_invocation_that_lambda_repeats_is_paid_once(function: Function, upstream: Upstream) -> None:
    first = function.api.send({"input": "hello"}, 60)
    function.wait(first)
    again = function.api.send({"input": "hello"}, 60, id=first.id)
    function.wait(again)
    assert again.result == first.result
    assert upstream.attempts() == 1


def test_what_may_pass_is_an_error_so_that_lambda_tries_again(function: Function, upstream: Upstream) -> None:
    upstream.plays({"fault": "status", "status": 503})
    error = function.invoke({"input": "hello"}).error
    assert error is not None
    assert error["errorType"] == "ModelUnavailable"


def test_a_tenant_of_the_invokers_choice_has_its_own_conversations(function: Function, upstream: Upstream) -> None:
    for tenant, text in (("acme", "mine"), ("umbrella", "whose?")):
        function.invoke({"input": text, "tenant": tenant, "conversation_id": "talk"})
    assert "mine" not in json.dumps(upstream.stats()["requests"][-1]["body"]["messages"])


def _headers(result: Json) -> dict[str, str]:
    multiple = {name: values[0] for name, values in (result.get("multiValueHeaders") or {}).items()}
    return {**multiple, **(result.get("headers") or {})}
