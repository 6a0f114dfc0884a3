"""`/openapi.json` says what is true of each response: its status, its form and its headers."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from conftest import StartService, client_of
from support.processes import Service

PROBLEM, SSE = "application/problem+json", "text/event-stream"
OPENAI = ("/v1/chat/", "/v1/models")
HELLO: dict[str, dict[str, Any]] = {
    "/v1/runs": {"input": "hello"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hello"}]},
}


async def operations(client: httpx2.AsyncClient) -> list[tuple[str, str, dict[str, Any]]]:
    """(method, path, responses) of all work."""
    document = (await client.get("/openapi.json")).json()
    return [
        (method, path, operation["responses"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/v1/")
    ]


async def test_each_refusal_is_there_with_its_form(client: httpx2.AsyncClient) -> None:
    found = await operations(client)
    assert len(found) >= 4
    for method, path, responses in found:
        openai = path.startswith(OPENAI)
        expected = {"400", "401", "405", "408", "413", "415", "429", "431", "500", "503", "504"}
        assert expected <= set(responses), (method, path)
        assert ("422" in responses) is not openai, (method, path)
        assert ("404" in responses) is ("{" in path), (method, path)
        for status, response in responses.items():
            if status[0] in "45" and status != "431":
                assert set(response["content"]) == {"application/json" if openai else PROBLEM}, (path, status)
                assert {"X-Request-Id", "Retry-After"} <= set(response["headers"]), (path, status)


async def test_keys_are_there_if_they_are_needed(client: httpx2.AsyncClient, start_service: StartService) -> None:
    async with client_of(start_service(AUTH__KEYS={}), None) as stranger:
        for one, needed in ((client, True), (stranger, False)):
            document = (await one.get("/openapi.json")).json()
            for path, methods in document["paths"].items():
                for operation in methods.values():
                    assert ("security" in operation) is (needed and path.startswith("/v1/")), path


async def test_streams_are_there(client: httpx2.AsyncClient) -> None:
    for _, path, responses in await operations(client):
        good = next(response for status, response in responses.items() if status[0] == "2")
        kinds = {SSE} if path.endswith("/events") else {"application/json"} | ({SSE} if path in HELLO else set())
        assert set(good["content"]) == kinds, path


@pytest.mark.parametrize("path", HELLO)
async def test_a_response_has_the_headers_that_it_is_said_to_have(client: httpx2.AsyncClient, path: str) -> None:
    [said] = [responses["200"]["headers"] for _, at, responses in await operations(client) if at == path]
    answers = [await client.post(path, json=HELLO[path], headers={"idempotency-key": f"said{path}"}) for _ in range(2)]
    ours = ("ratelimit-", "idempotency-", "x-request-id", "location", "retry-after")
    sent = {name for name in answers[-1].headers if name.startswith(ours)}
    assert sent | {"idempotency-scope"} == {name.lower() for name in said}, "the last one in an outage of the store"


async def test_the_methods_of_a_path_are_all_in_allow(service: Service) -> None:
    async with client_of(service) as client:
        document = (await client.get("/openapi.json")).json()
        for path, methods in document["paths"].items():
            response = await client.request("PATCH", path.replace("{", "").replace("}", ""))
            assert response.status_code == 405
            assert set(methods) <= {method.lower() for method in response.headers["allow"].split(", ")}, path
