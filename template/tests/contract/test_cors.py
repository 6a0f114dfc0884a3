"""Pages of other origins call the service from a browser, if CORS__ORIGINS names them."""

from __future__ import annotations

import httpx2
import pytest

from conftest import StartService, client_of

PAGE = "https://chat.example"
OTHER = "https://evil.example"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,idempotency-key,x-stainless-os",
}
CHAT = "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


async def test_no_origin_is_allowed_by_default(client: httpx2.AsyncClient) -> None:
    asked = await client.options(CHAT, headers={"origin": PAGE, **PREFLIGHT})
    answered = await client.post(CHAT, json=HELLO, headers={"origin": PAGE})
    for response in (asked, answered):
        assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    "origins", [f"{PAGE},http://localhost:3000", f'["{PAGE}"]', "*"], ids=["listed", "JSON", "any"]
)
async def test_a_page_of_an_allowed_origin_may_call(start_service: StartService, origins: str) -> None:
    service = start_service(CORS__ORIGINS=origins)
    async with client_of(service, None) as stranger:
        preflight = await stranger.options(CHAT, headers={"origin": PAGE, **PREFLIGHT})
        refused = await stranger.post(CHAT, json=HELLO, headers={"origin": PAGE})
    async with client_of(service) as client:
        answer = await client.post(CHAT, json=HELLO, headers={"origin": PAGE})
    assert preflight.status_code == 200, "without a key: browsers send none"
    assert {"POST", "GET", "DELETE"} <= set(preflight.headers["access-control-allow-methods"].split(", "))
    for name in PREFLIGHT["access-control-request-headers"].split(","):
        assert name in preflight.headers["access-control-allow-headers"]
    assert (refused.status_code, answer.status_code) == (401, 200)
    for response in (preflight, refused, answer):
        assert response.headers["access-control-allow-origin"] in (PAGE, "*")
    readable = answer.headers["access-control-expose-headers"].lower()
    for name in ("x-request-id", "retry-after", "ratelimit-remaining", "idempotency-replayed", "location"):
        assert name in readable
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_page_of_another_origin_may_not(start_service: StartService) -> None:
    async with client_of(start_service(CORS__ORIGINS=PAGE)) as client:
        preflight = await client.options(CHAT, headers={"origin": OTHER, **PREFLIGHT})
        answer = await client.post(CHAT, json=HELLO, headers={"origin": OTHER})
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in answer.headers


async def test_a_preflight_uses_up_no_limit(start_service: StartService) -> None:
    async with client_of(start_service(CORS__ORIGINS=PAGE, LIMITS__REQUESTS_PER_MINUTE=1)) as client:
        for _ in range(3):
            await client.options(CHAT, headers={"origin": PAGE, **PREFLIGHT})
        assert (await client.post(CHAT, json=HELLO, headers={"origin": PAGE})).status_code == 200
