"""Clients that send more than anybody can answer: every queue and buffer between socket and answer has a bound."""

from __future__ import annotations

import json
import time

import pytest

from conftest import KEY, StartService
from support.figures import Row
from support.flood import flooded
from support.load import Load
from support.processes import Upstream

pytestmark = pytest.mark.chaos

SECONDS = 6
MAX_BODY = 65_536
GROWTH = 32  # MB that a flood may add; without bounds it is hundreds within seconds
SLOWEST_PROBE = 1.0  # seconds
RECOVERY = 5.0  # seconds

PROBE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
METRICS = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def run(body: bytes, framing: str = "", key: str = KEY) -> bytes:
    framing = framing or f"Content-Length: {len(body)}"
    lines = f"POST /v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json"
    return f"{lines}\r\n{framing}\r\n\r\n".encode() + body


HELLO = json.dumps({"input": "hello"}).encode()
LARGE = json.dumps({"input": "x" * (MAX_BODY - 20)}).encode()
CHUNKED = "Transfer-Encoding: chunked"

FLOODS = {
    # name: (at first, then again and again, connections, whether answers are read)
    "probes, answers read": (b"", PROBE * 2000, 1, True),
    "probes, answers unread": (b"", PROBE * 2000, 1, False),
    "probes over many connections, unread": (b"", PROBE * 2000, 50, False),
    "runs, answers read": (b"", run(HELLO) * 500, 2, True),
    "runs, answers unread": (b"", run(HELLO) * 500, 20, False),
    "runs without a key": (b"", run(HELLO, key="wrong") * 500, 20, True),
    "metrics, answers unread": (b"", METRICS * 500, 20, False),
    "heads that do not end": (b"GET /livez HTTP/1.1\r\nX-Long: ", b"a" * 60_000, 50, True),
    "fields that do not end": (b"GET /livez HTTP/1.1\r\n", b"X-Many: a\r\n" * 6_000, 50, True),
    "bodies": (b"", run(LARGE), 20, True),
    "bodies, answers unread": (b"", run(LARGE), 20, False),
    "bodies that do not end": (run(b"", "Content-Length: 10000000000"), b"a" * 60_000, 20, True),
    "chunks that do not end": (run(b"", CHUNKED), b"4\r\n\r\n\r\n\r\n" * 5_000, 20, True),
    "trailers that do not end": (run(b"0\r\n", CHUNKED), b"X-Many: a\r\n" * 6_000, 20, True),
    "line ends": (b"", b"\r\n" * 30_000, 20, True),
    "no HTTP": (b"", bytes(range(256)) * 200, 20, True),
}


@pytest.mark.proves("security.bounds")
@pytest.mark.proves("scale.backpressure")
@pytest.mark.parametrize("name", FLOODS)
async def test_flood(upstream: Upstream, start_service: StartService, row: Row, name: str) -> None:
    """Memory stays flat, `/livez` answers within a second, and another client is served as soon as it is over."""
    service = start_service(
        LIMITS__MAX_BODY_BYTES=MAX_BODY,
        LIMITS__BODY_TIMEOUT_SECONDS=3,
        LIMITS__MAX_IN_FLIGHT=16,
        LOG_LEVEL="WARNING",
    )
    opening, repeated, connections, reading = FLOODS[name]
    async with Load(service.url, [KEY]) as load:
        await load.callers(4, seconds=1)
        before = service.memory()
        flood = await flooded(service, opening, repeated, seconds=SECONDS, connections=connections, reading=reading)
        over = time.monotonic()
        while (await load.ask()).status != 200:
            assert time.monotonic() - over < RECOVERY, "another client is served"
    grown = (flood.peak - before) / 2**20
    row.shows(
        flood=name,
        sent=f"{flood.sent / 2**20:.0f} MB",
        answers=flood.answers,
        memory=f"{before / 2**20:.0f} MB {grown:+.1f} MB",
        slowest_probe=f"{flood.slowest_probe * 1000:.0f} ms",
    )
    assert grown < GROWTH
    assert flood.failed_probes == 0
    assert flood.slowest_probe < SLOWEST_PROBE
