"""`stream: true`: server-sent events `delta`, `done`, `error`."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest

from conftest import KEY, StartService, client_of
from support.processes import Redis, Service, Upstream
from support.waiting import becomes

Client = httpx2.AsyncClient
Event = tuple[str, dict[str, Any]]


async def events(client: Client, text: str, **headers: str) -> list[Event]:
    async with client.stream("POST", "/v1/runs", json={"input": text, "stream": True}, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return parsed([line async for line in response.aiter_lines()])


def parsed(lines: list[str]) -> list[Event]:
    blocks = "\n".join(lines).strip().split("\n\n")
    fields = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
    return [(field["event"], json.loads(field["data"])) for field in fields]


def text_of(items: list[Event]) -> str:
    return "".join(data["text"] for event, data in items if event == "delta")


async def test_an_answer_arrives_in_pieces_and_ends_with_the_whole_answer(client: Client) -> None:
    items = await events(client, "one two three")
    assert [event for event, _ in items[:-1]] == ["delta"] * (len(items) - 1)
    assert len(items) > 3
    event, result = items[-1]
    assert event == "done"
    assert text_of(items) == result["output"] == "You said: one two three"
    assert result["usage"]["output_tokens"] == 20


async def test_pieces_arrive_while_the_model_still_writes(client: Client, upstream: Upstream) -> None:
    upstream.plays(chunk_seconds=0.1)
    async with client.stream("POST", "/v1/runs", json={"input": "a b c d e f g h", "stream": True}) as response:
        async for line in response.aiter_lines():
            if line.startswith("event: delta"):
                assert upstream.stats()["open"] == 1
                break


async def test_only_the_answer_is_streamed_when_tools_are_called(client: Client) -> None:
    items = await events(client, 'call convert_units {"value": 1, "source": "m", "target": "feet"}')
    assert text_of(items) == "The tool said: 3.28"


@pytest.mark.proves("security.output")
async def test_a_stream_is_neutralised_like_a_whole_answer(client: Client, upstream: Upstream) -> None:
    upstream.plays(
        answer="see <script src=x> and ![a](http://evil.example) key model-key-of-the-tests and [b](javascript:x)"
    )
    items = await events(client, "hello")
    for bad in ("<script", "![", "model-key-of-the-tests", "javascript:"):
        assert bad not in text_of(items)
    assert text_of(items) == items[-1][1]["output"]


@pytest.mark.proves("security.output")
@pytest.mark.parametrize(
    "answer",
    [
        "for (int i=0; i<n; i++) { if x<y and z==1 }",
        "a < b " + "and more " * 60,
        "```html\n<script>\n```\nand `<form>`, ![1] and <b>bold</b>\r\n",
        "x" * 700,
    ],
    ids=["comparisons", "a bracket that stays open", "code", "no blanks"],
)
async def test_a_harmless_answer_arrives_byte_for_byte_whole_and_streamed(
    client: Client, upstream: Upstream, answer: str
) -> None:
    upstream.plays(answer=answer)
    items = await events(client, "hello")
    whole = await client.post("/v1/runs", json={"input": "hello"})
    assert text_of(items) == items[-1][1]["output"] == whole.json()["output"] == answer


@pytest.mark.parametrize(("status", "expected"), [(500, 503), (400, 422)])
async def test_a_failure_before_the_first_piece_has_its_own_status(
    client: Client, upstream: Upstream, status: int, expected: int
) -> None:
    upstream.plays({"fault": "status", "status": status})
    response = await client.post("/v1/runs", json={"input": "hello", "stream": True})
    assert response.status_code == expected
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.proves("reliability.retries")
async def test_opening_a_stream_is_retried(client: Client, upstream: Upstream) -> None:
    upstream.plays({"fault": "status", "status": 503, "times": 1})
    assert (await events(client, "hello"))[-1][0] == "done"
    assert upstream.attempts() == 2


async def test_a_stream_that_breaks_ends_with_an_error_event(client: Client, upstream: Upstream) -> None:
    upstream.plays({"fault": "cut"}, answer="word " * 50)
    items = await events(client, "hello")
    event, problem = items[-1]
    assert event == "error"
    assert problem["status"] == 503
    assert problem["request_id"]
    assert "Traceback" not in json.dumps(problem)
    assert text_of(items).startswith("word word")


@pytest.mark.proves("reliability.timeouts")
async def test_a_reader_that_disconnects_cancels_the_run(client: Client, service: Service, upstream: Upstream) -> None:
    upstream.plays(chunk_seconds=0.2, answer="word " * 1000)
    headers = {"X-Request-Id": "left-early"}
    async with client.stream("POST", "/v1/runs", json={"input": "hi", "stream": True}, headers=headers) as response:
        async for line in response.aiter_lines():
            if line.startswith("event: delta"):
                break
    await becomes(lambda: upstream.stats()["abandoned"] == 1, what="the upstream's connection is closed")
    assert service.logged("run", request_id="left-early")["outcome"] == "cancelled"


@pytest.mark.proves("reliability.idempotency")
async def test_a_repeated_stream_gets_the_first_ones_answer(client: Client, upstream: Upstream) -> None:
    first = await events(client, "hello", **{"Idempotency-Key": "stream-1"})
    second = await events(client, "hello", **{"Idempotency-Key": "stream-1"})
    assert first[-1] == second[-1]
    assert upstream.attempts() == 1


@pytest.mark.proves("reliability.timeouts")
async def test_an_invalid_record_is_an_error_at_once(start_service: StartService, redis: Redis) -> None:
    """Any failure while pieces are made reaches the reader that waits for the next piece."""
    async with client_of(start_service(STATE_URL=redis.url)) as client:
        await events(client, "hello", **{"Idempotency-Key": "stream-2"})
        [record] = re.findall(r"\S+:idempotency:\S+", redis.say("KEYS *:idempotency:*"))
        redis.say(f"SET {record} {{")
        headers = {"Idempotency-Key": "stream-2"}
        response = await client.post("/v1/runs", json={"input": "hello", "stream": True}, headers=headers, timeout=10)
    assert response.status_code == 500
    assert response.json()["type"] == "urn:problem:internal"


# The offline model repeats its input word by word; the answer exceeds the sockets' buffers.
LONG = {
    "MODEL__PRIMARY": "offline",
    "LIMITS__MAX_BODY_BYTES": 10_000_000,
    "RUN__MAX_INPUT_CHARS": 10_000_000,
    "BUDGET__TOKENS_PER_RUN": 10_000_000,
}


def deaf_client(service: Service) -> socket.socket:
    """A connection over which a long stream was asked for, and that nobody reads."""
    body = json.dumps({"input": ("a" * 16_000 + " ") * 400, "stream": True}).encode()
    head = f"POST /v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", service.port))
    deaf.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return deaf


@pytest.mark.proves("scale.backpressure")
async def test_a_client_that_does_not_read_its_stream_is_cut_off(start_service: StartService) -> None:
    service = start_service(LIMITS__MAX_IN_FLIGHT=1, LIMITS__BODY_TIMEOUT_SECONDS=0.5, **LONG)
    with deaf_client(service):
        await becomes(lambda: service.logs("client_does_not_read"), within=60, what="the service gives it up")
        await becomes(lambda: service.logs("run"), what="its run is over")
        assert service.logs("run")[-1]["outcome"] == "cancelled"
        async with client_of(service) as client:
            assert (await client.post("/v1/runs", json={"input": "hello"}, timeout=10)).status_code == 200


@pytest.mark.proves("scale.balancing")
async def test_a_client_that_does_not_read_does_not_hold_the_exit(start_service: StartService) -> None:
    service = start_service(LIMITS__BODY_TIMEOUT_SECONDS=60, **LONG)
    with deaf_client(service):
        await becomes(lambda: len(connections_that_wait(service)) == 1, within=30, what="its buffers are full")
        assert service.stop(within=10) == 0


def connections_that_wait(service: Service) -> list[str]:
    """Connections with bytes that the other end does not take (Linux)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = [row for row in rows if row[1] == f"0100007F:{service.port:04X}"]
    return [row[1] for row in ours if int(row[4].partition(":")[0], 16) > 1_000_000]
