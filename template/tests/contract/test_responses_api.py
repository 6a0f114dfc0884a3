"""`openai:` talks Responses. A server that has only Chat Completions is met with words, from the first request on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from conftest import StartService, client_of, settings_for
from support.processes import Service, Upstream

REMEDY = "openai-chat:primary"
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "primary",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
}
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def talks_responses(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = settings_for(
        shared_upstream, MODEL__PRIMARY="openai:primary", GUARD__ATTEMPTS=1, GUARD__BREAKER_MINIMUM_CALLS=1_000_000
    )
    service = Service(tmp_path_factory.mktemp("responses"), **settings).wait_ready()
    yield service
    shared_upstream.plays()
    assert service.stop() == 0, service.output


@pytest.fixture
async def client(talks_responses: Service, upstream: Upstream) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(talks_responses) as client:
        yield client


@STREAMED
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, '{"detail": "Not Found"}'),  # vLLM of old, LiteLLM
        (404, "404 page not found"),  # Ollama of old
        (404, '{"error": {"message": "Invalid URL (POST /v1/responses)", "code": null}}'),
        (405, "<html>Method Not Allowed</html>"),  # nginx
        (501, '{"error": {"message": "not implemented"}}'),
        (400, '{"error": "Unexpected endpoint or method. (POST /v1/responses)"}'),  # LM Studio
    ],
)
async def test_a_refused_path(
    client: httpx2.AsyncClient, talks_responses: Service, upstream: Upstream, status: int, body: str, stream: bool
) -> None:
    upstream.plays({"fault": "status", "status": status, "text": body})
    response = await client.post("/v1/runs", json={"input": "hello", "stream": stream}, headers={"x-request-id": "a"})
    assert response.status_code == 503
    assert REMEDY in response.json()["detail"]
    assert response.headers["x-should-retry"] == "false"
    assert REMEDY in talks_responses.logged("model_misconfigured", request_id="a")["advice"]


@STREAMED
@pytest.mark.parametrize(
    "body",
    [
        json.dumps(CHAT),
        '{"error": "Unexpected endpoint or method. (POST /v1/responses)"}',
        "{}",
        "[]",
        "null",
        "<html>",
    ],
)
async def test_an_answer_of_another_form(
    client: httpx2.AsyncClient, upstream: Upstream, body: str, stream: bool
) -> None:
    upstream.plays({"fault": "body", "text": body})
    response = await client.post("/v1/runs", json={"input": "hello", "stream": stream})
    assert response.status_code == 503
    assert REMEDY in response.json()["detail"]


@STREAMED
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (
            {"status": 404, "text": '{"error": {"message": "The model `primary` does not exist.", "param": "model"}}'},
            503,
        ),
        ({"status": 401}, 503),
        ({"status": 500}, 503),
        ({"status": 400}, 422),
    ],
    ids=["no model", "no key", "down", "refused"],
)
async def test_other_failures_say_nothing_of_it(
    client: httpx2.AsyncClient, upstream: Upstream, fault: dict[str, Any], status: int, stream: bool
) -> None:
    upstream.plays({"fault": "status", **fault})
    response = await client.post("/v1/runs", json={"input": "hello", "stream": stream})
    assert response.status_code == status
    assert REMEDY not in response.text


async def test_the_fallback_answers_and_the_log_has_the_words(start_service: StartService, upstream: Upstream) -> None:
    service = start_service(
        MODEL__PRIMARY="openai:primary",
        MODEL__FALLBACK="openai-chat:other",
        MODEL__FALLBACK_BASE_URL=f"{upstream.url}/v1",
    )
    async with client_of(service) as client:
        answer = (await client.post("/v1/runs", json={"input": "hello"})).json()
    assert (answer["output"], answer["degraded"]) == ("You said: hello", True)
    assert REMEDY in service.logged("model_misconfigured")["advice"]
