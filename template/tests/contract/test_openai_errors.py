"""Each error reaches an OpenAI client in the form that it reads: its class, its code, the parameter and a message."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from conftest import KEY, StartService, client_of, settings_for
from support.processes import Redis, Service, Upstream, command, new_key

pytestmark = pytest.mark.proves("compat.openai")

HELLO: dict[str, Any] = {"model": "agent", "messages": [{"role": "user", "content": "hello"}]}
CHAT = "/v1/chat/completions"
TENANTS = {name: new_key() for name in ("hasty", "poor", "slow", "busy")}


def openai_of(service: Service, key: str = KEY) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key=key, max_retries=0, timeout=30)


@pytest.fixture
async def openai_client(service: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai_of(service) as client:
        yield client


@pytest.fixture(scope="module")
def tight(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with small limits, and a tenant for each test that uses them up."""
    keys = {name: {"hash": hashed, "tenant": name} for name, (_, hashed) in TENANTS.items()}
    settings = settings_for(
        shared_upstream,
        AUTH__KEYS=keys,
        LIMITS__REQUESTS_PER_MINUTE=3,
        LIMITS__BODY_TIMEOUT_SECONDS=0.5,
        BUDGET__TOKENS_PER_DAY=300,
        BUDGET__TOKENS_PER_RUN=150,
        RUN__DEADLINE_SECONDS=1,
    )
    service = Service(tmp_path_factory.mktemp("tight"), **settings).wait_ready()
    yield service
    shared_upstream.plays()
    assert service.stop() == 0, service.output


def told(error: openai.APIError) -> tuple[str | None, str | None, str | None]:
    """(code, param, type), after checks that the error says something and has OpenAI's four fields."""
    assert isinstance(error.body, dict)
    assert set(error.body) == {"message", "type", "param", "code"}
    assert len(error.body["message"]) > 10
    assert "Traceback" not in json.dumps(error.body)
    return error.code, error.param, error.type


def error_of(response: httpx2.Response) -> dict[str, Any]:
    """The error of a response that OpenAI's client cannot provoke."""
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    body: dict[str, Any] = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    error: dict[str, Any] = body["error"]
    return error


async def test_a_wrong_key(service: Service) -> None:
    async with openai_of(service, "wrong") as client:
        for call in (client.chat.completions.create(**HELLO), client.models.list()):
            with pytest.raises(openai.AuthenticationError) as caught:
                await call
            assert told(caught.value) == ("invalid_api_key", None, "invalid_request_error")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "hello"}]}, "messages[0].role"),
        ({"temperature": 7}, "temperature"),
        ({"messages": [{"role": "assistant", "content": "hello"}]}, "messages"),
    ],
    ids=["no messages", "a role", "a number", "an order"],
)
async def test_an_invalid_request_names_the_parameter(
    openai_client: openai.AsyncOpenAI, upstream: Upstream, wrong: dict[str, Any], param: str, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await openai_client.chat.completions.create(**{**HELLO, **wrong}, stream=stream)
    assert told(caught.value) == ("invalid_value", param, "invalid_request_error")
    assert upstream.attempts() == 0


async def test_an_option_that_cannot_be_done(openai_client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await openai_client.chat.completions.create(**HELLO, n=2)
    assert told(caught.value) == ("unsupported_parameter", "n", "invalid_request_error")


async def test_messages_that_are_too_long_for_the_service(openai_client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await openai_client.chat.completions.create(
            model="agent", messages=[{"role": "user", "content": "long " * 10_000}]
        )
    assert told(caught.value) == ("context_length_exceeded", "messages", "invalid_request_error")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("upstreams", "code"),
    [("context_length_exceeded", "context_length_exceeded"), ("invalid_prompt", "invalid_value")],
)
async def test_a_refusal_of_the_models_provider(
    openai_client: openai.AsyncOpenAI, upstream: Upstream, upstreams: str, code: str, stream: bool
) -> None:
    error = {"message": "No.", "type": "invalid_request_error", "param": "messages", "code": upstreams}
    upstream.plays({"fault": "status", "status": 400, "text": json.dumps({"error": error})})
    with pytest.raises(openai.BadRequestError) as caught:
        await openai_client.chat.completions.create(**HELLO, stream=stream)
    assert told(caught.value)[0] == code


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "the request exceeds the available context size, try increasing it"),  # llama.cpp
        (200, "the request exceeds the available context size, try increasing it"),  # the same in a stream
        (400, "The input (5000 tokens) is longer than the model's context length (4096 tokens)."),  # SGLang
        (400, "prompt too long; exceeded max context length by 5 tokens"),  # Ollama
        (413, "Input is too long for requested model."),
        (422, "The initial prompt is greater than the context length"),  # LM Studio
    ],
)
async def test_servers_without_a_code_for_a_long_input(
    openai_client: openai.AsyncOpenAI, upstream: Upstream, status: int, said: str, stream: bool
) -> None:
    error = {"error": {"message": said, "type": "exceed_context_size_error", "code": max(status, 400)}}
    upstream.plays({"fault": "status", "status": status, "text": json.dumps(error)})
    with pytest.raises(openai.BadRequestError) as caught:
        await openai_client.chat.completions.create(**HELLO, stream=stream)
    assert told(caught.value)[0] == "context_length_exceeded"


async def test_a_filter_that_left_nothing(openai_client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    upstream.plays(finish_reason="content_filter", answer="")
    with pytest.raises(openai.BadRequestError) as caught:
        await openai_client.chat.completions.create(**HELLO)
    assert told(caught.value)[0] == "content_filter"


@pytest.mark.parametrize("path", ["/v1/chat/completions/more", "/v1/chat/nothing", "/v1/models/a/b/c"])
async def test_paths_that_do_not_exist(openai_client: openai.AsyncOpenAI, path: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await openai_client.get(path.removeprefix("/v1"), cast_to=object)
    told(caught.value)


@pytest.mark.parametrize(("method", "path"), [("GET", CHAT), ("DELETE", CHAT), ("POST", "/v1/models")])
async def test_methods_that_do_not_exist(service: Service, method: str, path: str) -> None:
    async with client_of(service) as client:
        response = await client.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"]
    assert error_of(response)["code"] == "method_not_allowed"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_provider_that_is_down(openai_client: openai.AsyncOpenAI, upstream: Upstream, stream: bool) -> None:
    upstream.plays({"fault": "status", "status": 500})
    with pytest.raises(openai.InternalServerError) as caught:
        await openai_client.chat.completions.create(**HELLO, stream=stream)
    assert caught.value.status_code == 503
    assert int(caught.value.response.headers["retry-after"]) > 0
    assert told(caught.value) == ("model_unavailable", None, "server_error")


async def test_a_rate_that_is_exceeded(tight: Service, upstream: Upstream) -> None:
    async with openai_of(tight, TENANTS["hasty"][0]) as client:
        for _ in range(3):
            await client.models.list()
        for call in (client.chat.completions.create(**HELLO), client.models.list()):
            with pytest.raises(openai.RateLimitError) as caught:
                await call
            assert told(caught.value) == ("rate_limit_exceeded", None, "requests")
            assert int(caught.value.response.headers["retry-after"]) > 0


async def test_a_budget_that_is_spent(tight: Service, upstream: Upstream) -> None:
    upstream.plays(prompt_tokens=400)
    async with openai_of(tight, TENANTS["poor"][0]) as client:
        await client.chat.completions.create(**HELLO)
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(**HELLO)
    assert told(caught.value) == ("insufficient_quota", None, "insufficient_quota")
    assert caught.value.response.headers["x-should-retry"] == "false"


async def test_a_run_that_meets_its_deadline(tight: Service, upstream: Upstream) -> None:
    upstream.plays({"fault": "hang"})
    async with openai_of(tight, TENANTS["slow"][0]) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(**HELLO)
    assert caught.value.status_code == 504
    assert told(caught.value) == ("deadline_exceeded", None, "server_error")


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b'{"messages": ', {}, 400, "invalid_value"),
        (b"hello", {"content-type": "text/plain"}, 400, "invalid_value"),
        (b"x" * 100_000, {}, 413, "body_too_large"),
        (b"x", {"content-encoding": "gzip"}, 415, "body_encoded"),
        (b"{}", {"idempotency-key": "k" * 300}, 400, "invalid_value"),
        (b"{}", {"host": "a b"}, 400, "malformed_request"),
    ],
    ids=["no JSON", "another type", "too large", "compressed", "a key", "a host"],
)
async def test_what_no_openai_client_sends(
    service: Service, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    async with client_of(service) as client:
        sent = {"content-type": "application/json", **headers}
        response = await client.post(CHAT, content=content, headers=sent)
    assert (response.status_code, error_of(response)["code"]) == (status, code)


async def test_a_service_that_is_switched_off(start_service: StartService, redis: Redis, tmp_path: Path) -> None:
    service = start_service(STATE_URL=redis.url)
    assert command("flags", "set", "kill_switch", "on", folder=tmp_path, STATE_URL=redis.url).returncode == 0
    async with openai_of(service) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(**HELLO, stream=True)
    assert told(caught.value)[0] == "switched_off"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_an_error_that_nobody_expected(start_service: StartService, redis: Redis, stream: bool) -> None:
    headers = {"Idempotency-Key": "broken"}
    async with openai_of(start_service(STATE_URL=redis.url)) as client:
        await client.chat.completions.create(**HELLO, stream=stream, extra_headers=headers)
        [record] = re.findall(r"\S+:idempotency:\S+", redis.say("KEYS *:idempotency:*"))
        redis.say(f"SET {record} {{")
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(**HELLO, stream=stream, extra_headers=headers)
    assert caught.value.status_code == 500
    assert told(caught.value) == ("internal", None, "server_error")


async def test_an_error_in_the_middle_of_a_stream(openai_client: openai.AsyncOpenAI, upstream: Upstream) -> None:
    upstream.plays({"fault": "cut"}, answer="word " * 50)
    stream = await openai_client.chat.completions.create(**HELLO, stream=True)
    with pytest.raises(openai.APIError) as caught:
        [chunk async for chunk in stream]
    assert told(caught.value) == ("model_unavailable", None, "server_error")


async def test_other_doors_keep_their_problems(service: Service) -> None:
    async with client_of(service, None) as client:
        for path in ("/v1/runs", "/v1/nothing", "/nothing"):
            response = await client.post(path, json={})
            assert response.headers["content-type"] == "application/problem+json", path


RESOURCES = ["completions", "embeddings", "responses", "responses/resp_1", "moderations", "images/generations", "files"]
RESOURCES += ["audio/speech", "batches", "fine_tuning/jobs", "assistants", "threads", "vector_stores", "uploads"]
MISSING = [f"/v1/{resource}" for resource in RESOURCES]
MISSING += ["/v1/chat", "/v1/chat/completions/", "/v1/chat/completions/chatcmpl-1", "/v1/chat/nothing"]
MISSING += ["/chat/completions", "/models", "/v1/v1/chat/completions", "/openai/v1/chat/completions"]
MISSING += ["/openai/deployments/agent/chat/completions"]
WRONG = [(method, CHAT) for method in ("GET", "DELETE", "PUT", "PATCH")]
WRONG += [(method, path) for method in ("POST", "DELETE", "PUT") for path in ("/v1/models", "/v1/models/agent")]


@pytest.mark.parametrize("path", MISSING)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_what_is_missing_is_told_in_openais_form_with_what_is_there(
    service: Service, method: str, path: str
) -> None:
    async with client_of(service) as client:
        response = await client.request(method, path, json=HELLO if method == "POST" else None)
    error = response.json()["error"]
    assert (response.status_code, set(error)) == (404, {"message", "type", "param", "code"})
    assert "/v1/chat/completions" in error["message"]
    assert "base_url" in error["message"]


@pytest.mark.parametrize(("method", "path"), WRONG)
async def test_a_wrong_method_is_told_in_openais_form_with_the_right_one(
    service: Service, method: str, path: str
) -> None:
    async with client_of(service) as client:
        response = await client.request(method, path, json=HELLO)
    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (405, "invalid_request_error")
    assert response.headers["allow"] in error["message"]


async def test_openais_own_client_reads_it(openai_client: openai.AsyncOpenAI) -> None:
    calls = (
        openai_client.completions.create(model="agent", prompt="hello"),
        openai_client.embeddings.create(model="agent", input="hello"),
        openai_client.responses.create(model="agent", input="hello"),
        openai_client.moderations.create(input="hello"),
        openai_client.images.generate(prompt="hello"),
    )
    for call in calls:
        with pytest.raises(openai.NotFoundError, match="/v1/chat/completions") as caught:
            await call
        assert told(caught.value)[0] == "not_found"
