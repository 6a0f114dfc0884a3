"""Bad requests get a 4xx problem that names the expected form: never a stack trace, never a 500."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from conftest import KEY, StartService, client_of, settings_for
from support.processes import Service, Upstream, new_key
from support.waiting import becomes

Client = httpx2.AsyncClient


def problem_of(response: httpx2.Response) -> dict[str, Any]:
    """The problem (RFC 9457), after checks that it is complete and reveals nothing."""
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "request_id"} <= set(problem)
    assert problem["status"] == response.status_code
    assert problem["request_id"] == response.headers["x-request-id"]
    for leak in ("Traceback", "site-packages", 'File "', "line "):
        assert leak not in response.text
    return problem


@pytest.mark.proves("security.input")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"input": ""}',
        b'{"input": " \\n "}',
        b'{"input": 7}',
        b'{"input": null}',
        b'{"input": ["a"]}',
        b'{"input": "\\u0000\\u202e"}',
        b'{"input": "\\ud800"}',
        b'{"input": "\xff\xfe"}',
        b'{"input": "hello", "unknown": 1}',
        b'{"input": "hello", "stream": "perhaps"}',
        b'{"input": "hello", "conversation_id": "../etc/passwd"}',
        b'{"input": "hello", "conversation_id": ""}',
        b'{"input": "hello", "metadata": {"a": {"b": 1}}}',
        b'{"input": "hello", "metadata": {"a": "\\ud800"}}',
        b'{"input": "hello", "metadata": {"\\ud800": "a"}}',
        b'{"input": "hello", "metadata": {"a": NaN}}',
        b'{"input": "hello", "metadata": ' + json.dumps({f"k{n}": n for n in range(100)}).encode() + b"}",
        b'{"input": ' + b"[" * 2000 + b"]" * 2000 + b"}",
        b'{"input": "' + b"x" * 40_000 + b'"}',
    ],
    ids=lambda body: body[:40].decode("latin-1") or "nothing",
)
async def test_an_invalid_body_is_refused(client: Client, upstream: Upstream, body: bytes) -> None:
    response = await client.post("/v1/runs", content=body, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    assert problem_of(response)["type"] == "urn:problem:invalid-input"
    assert upstream.attempts() == 0


async def test_a_refusal_names_the_field(client: Client) -> None:
    response = await client.post("/v1/runs", json={"input": "hello", "inptu": "hello"})
    assert response.status_code == 422
    assert "inptu" in problem_of(response)["detail"]


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense", None],
)
async def test_another_content_type_is_refused_with_the_expected_one(client: Client, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = await client.post("/v1/runs", content=b'{"input": "hello"}', headers=headers)
    assert response.status_code == 422
    assert "application/json" in problem_of(response)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/v1/nothing", 404), ("GET", "/v1/runs", 405), ("DELETE", "/livez", 405)],
)
async def test_paths_and_methods_that_do_not_exist(client: Client, method: str, path: str, status: int) -> None:
    response = await client.request(method, path)
    assert response.status_code == status
    problem_of(response)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", f"Basic {KEY}", KEY, f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer ü"],
    ids=["none", "no key", "wrong", "basic", "bare", "longer", "shorter", "not ASCII"],
)
async def test_requests_need_a_valid_key(service: Service, upstream: Upstream, authorization: str) -> None:
    async with client_of(service, None) as client:
        headers = [(b"authorization", authorization.encode())] if authorization else []
        response = await client.post("/v1/runs", json={"input": "hello"}, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert KEY not in json.dumps(problem_of(response))
    assert upstream.attempts() == 0


# Each test that shares `tight` has its own tenant, since it uses up the tenant's limits.
KEYS = {name: new_key() for name in ("expired", "valid", "slow", "busy", "poor")}
EXPIRES = {"expired": "2020-01-01", "valid": "2999-01-01"}


@pytest.fixture(scope="module")
def tight(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with small limits."""
    keys = {name: {"hash": hashed, "tenant": name, "expires": EXPIRES.get(name)} for name, (_, hashed) in KEYS.items()}
    settings = settings_for(
        shared_upstream,
        AUTH__KEYS=keys,
        LIMITS__BODY_TIMEOUT_SECONDS=0.5,
        LIMITS__MAX_IN_FLIGHT=2,
        BUDGET__TOKENS_PER_DAY=300,
        BUDGET__TOKENS_PER_RUN=150,
    )
    service = Service(tmp_path_factory.mktemp("tight"), **settings).wait_ready()
    yield service
    assert service.stop() == 0, service.output


@pytest.mark.parametrize(("name", "status"), [("expired", 401), ("valid", 200)])
async def test_a_key_is_valid_until_it_expires(tight: Service, upstream: Upstream, name: str, status: int) -> None:
    async with client_of(tight, KEYS[name][0]) as client:
        assert (await client.post("/v1/runs", json={"input": "hello"})).status_code == status


async def test_the_end_of_a_key_is_a_metric(tight: Service) -> None:
    ends = {name: tight.metric("auth_key_expiry_timestamp_seconds", key=name) for name in KEYS}
    assert ends["valid"] == datetime(2999, 1, 2, tzinfo=UTC).timestamp()  # it is valid on its last day
    assert ends["slow"] == 0  # it has no end


async def raw(service: Service, head: str, body: bytes, key: str = KEY) -> bytes:
    """The service's response to these bytes, although the request is incomplete."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    try:
        writer.write(f"POST /v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{head}\r\n\r\n".encode())
        writer.write(body)
        async with asyncio.timeout(5):
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()


@pytest.mark.proves("security.input")
async def test_a_body_that_announces_its_excessive_size_is_refused_before_it_is_sent(service: Service) -> None:
    head = "Content-Type: application/json\r\nContent-Length: 1000000000"
    answer = await raw(service, head, b'{"input": "')
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer


@pytest.mark.proves("security.input")
async def test_a_body_of_unknown_size_is_refused_when_it_exceeds_the_limit(service: Service) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    head = "Content-Type: application/json\r\nTransfer-Encoding: chunked"
    assert (await raw(service, head, chunk + chunk)).startswith(b"HTTP/1.1 413")


async def test_a_large_body_is_not_taken_for_a_head(start_service: StartService) -> None:
    async with client_of(start_service()) as client:
        codes = [(await client.post("/v1/runs", json={"input": "x" * 700_000})).status_code for _ in range(3)]
    assert codes == [422, 422, 422]


@pytest.mark.proves("security.input")
@pytest.mark.parametrize(
    "headers",
    [{"content-encoding": "gzip"}, {"Content-Encoding": "identity, br"}, {"content-encoding": "x-unknown"}],
    ids=["gzip", "among others", "unknown"],
)
async def test_a_compressed_body_is_refused_unread(client: Client, upstream: Upstream, headers: dict[str, str]) -> None:
    body = gzip.compress(b'{"input": "hello"}')
    response = await client.post("/v1/runs", content=body, headers={"content-type": "application/json", **headers})
    assert response.status_code == 415
    assert problem_of(response)["type"] == "urn:problem:body-encoded"
    assert response.headers["accept-encoding"] == "identity"
    assert upstream.attempts() == 0


async def test_a_compressed_transfer_is_refused_as_well(service: Service) -> None:
    head = "Content-Type: application/json\r\nTransfer-Encoding: gzip, chunked"
    assert (await raw(service, head, b"")).startswith(b"HTTP/1.1 415")


@pytest.mark.proves("observe.logs")
async def test_a_refused_requests_line_in_the_log_is_short_and_harmless(client: Client, service: Service) -> None:
    headers = {"x-request-id": "harmless"}
    await client.get("/v1/" + "\u202e%1b%5b31m%0a" + "a" * 50_000, headers=headers)
    path = service.logged("request", request_id="harmless", status=404)["path"]
    assert path.startswith("/v1/%E2%80%AE%1B%5B31m%0A")
    assert len(path) < 1000


@pytest.mark.proves("security.input")
async def test_without_a_key_no_body_is_read_at_all(service: Service) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
    async with asyncio.timeout(5):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 401")
    writer.close()


@pytest.mark.proves("security.input")
async def test_a_slow_body_is_cut_off_and_frees_its_place(tight: Service) -> None:
    head = "Content-Type: application/json\r\nContent-Length: 100"
    answer = await raw(tight, head, b'{"input": ', KEYS["slow"][0])
    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.proves("observe.metrics")
async def test_refused_keys_and_bodies_are_counted(tight: Service) -> None:
    def counted() -> dict[str, float]:
        reasons = ("unauthenticated", "body-too-large", "body-timeout")
        return {reason: tight.metric("requests_rejected_total", reason=reason) for reason in reasons}

    before = counted()
    head = "Content-Type: application/json\r\nContent-Length: "
    for length, key in (("2", "wrong"), ("1000000000", KEYS["slow"][0]), ("100", KEYS["slow"][0])):
        await raw(tight, head + length, b"{", key)
    assert counted() == {reason: count + 1 for reason, count in before.items()}


@pytest.mark.proves("scale.rate_limits")
async def test_the_rate_limit_is_exact_under_concurrency_and_says_when_to_come_back(
    start_service: StartService,
) -> None:
    service = start_service(LIMITS__REQUESTS_PER_MINUTE=10)
    async with client_of(service) as client:
        responses = await asyncio.gather(*[client.post("/v1/runs", json={"input": "hello"}) for _ in range(30)])
        codes = [response.status_code for response in responses]
        assert (codes.count(200), codes.count(429)) == (10, 20)
        refused = next(response for response in responses if response.status_code == 429)
        assert problem_of(refused)["type"].endswith("rate-limit-exceeded")
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert (refused.headers["ratelimit-limit"], refused.headers["ratelimit-remaining"]) == ("10", "0")
        assert sorted(int(r.headers["ratelimit-remaining"]) for r in responses if r.status_code == 200)[0] == 0
        assert (await client.get("/readyz")).status_code == 200, "probes are not limited"
    assert service.metric("requests_rejected_total", reason="rate-limit-exceeded") == 20


@pytest.mark.proves("scale.backpressure")
async def test_requests_beyond_the_limit_in_flight_are_refused_at_once(tight: Service, upstream: Upstream) -> None:
    upstream.plays(latency=1.0)
    before = tight.metric("requests_rejected_total", reason="overloaded")
    async with client_of(tight, KEYS["busy"][0]) as client:
        working = [asyncio.create_task(client.post("/v1/runs", json={"input": "hello"})) for _ in range(2)]
        await becomes(lambda: upstream.stats()["open"] == 2)
        refused = await client.post("/v1/runs", json={"input": "hello"})
        assert refused.elapsed.total_seconds() < 0.5
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert problem_of(refused)["type"].endswith("overloaded")
        assert tight.metric("requests_rejected_total", reason="overloaded") == before + 1
        assert [(await task).status_code for task in working] == [200, 200]
        assert (await client.post("/v1/runs", json={"input": "hello"})).status_code == 200


@pytest.mark.proves("cost.budgets")
async def test_a_spent_budget_is_a_429_of_its_own_type_before_any_call(tight: Service, upstream: Upstream) -> None:
    async with client_of(tight, KEYS["poor"][0]) as client:
        codes = [(await client.post("/v1/runs", json={"input": "hello"})).status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]  # 120 tokens each; the last run may exceed the limit
        refused = await client.post("/v1/runs", json={"input": "hello"})
        assert problem_of(refused)["type"].endswith("budget-exceeded")
        assert int(refused.headers["retry-after"]) > 0
    assert tight.metric("requests_rejected_total", reason="budget-exceeded") == 2
    assert upstream.attempts() == 3


async def test_no_response_redirects_to_the_host_of_a_request(client: Client) -> None:
    response = await client.post("/v1/runs/", json={"input": "hello"}, headers={"host": "evil.example"})
    assert response.status_code == 404
    assert "evil.example" not in str(response.headers)


async def test_every_response_carries_the_security_headers(client: Client) -> None:
    for path in ("/livez", "/metrics", "/v1/nothing"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "server" not in headers
