"""Answers of the model and of a tool's API that are small on the wire and large in memory."""

from __future__ import annotations

import threading
import time

import pytest

from conftest import KEY, StartService
from support.figures import Row
from support.processes import Upstream, call

HEADERS = {"authorization": f"Bearer {KEY}"}
MEBIBYTE = 1 << 20
RATE = 'call exchange_rate {"base": "EUR", "quote": "USD"}'

pytestmark = pytest.mark.chaos


@pytest.mark.proves("security.bounds")
@pytest.mark.parametrize(
    ("path", "asked"), [("/v1/chat/completions", "hello"), ("/latest", RATE)], ids=["model", "tool"]
)
def test_a_decompression_bomb(path: str, asked: str, upstream: Upstream, start_service: StartService, row: Row) -> None:
    """It is requested once and refused with a message; memory is flat, and /livez answers meanwhile."""
    service = start_service(GUARD__BREAKER_MINIMUM_CALLS=1_000)
    assert call("POST", f"{service.url}/v1/runs", {"input": "warm"}, HEADERS)[0] == 200
    upstream.forget()
    upstream.plays({"fault": "bomb", "path": path, "bytes": 200 * MEBIBYTE})
    call("POST", f"{service.url}/v1/runs", {"input": asked}, HEADERS)  # the upstream makes its bomb once
    upstream.forget()
    before, slowest, done = service.memory(), 0.0, threading.Event()

    def probe() -> None:
        nonlocal slowest
        while not done.is_set():
            began = time.monotonic()
            assert call("GET", f"{service.url}/livez")[0] == 200
            slowest = max(slowest, time.monotonic() - began)

    prober = threading.Thread(target=probe)
    prober.start()
    try:
        answers = [call("POST", f"{service.url}/v1/runs", {"input": asked}, HEADERS) for _ in range(5)]
    finally:
        done.set()
        prober.join()
    grown = (service.memory() - before) / MEBIBYTE
    attempts = upstream.stats()["attempts"][path]
    row.shows(statuses=sorted({status for status, _ in answers}), memory_MiB=grown, slowest_livez_s=slowest)
    assert {status for status, _ in answers} <= {200, 502, 503}
    assert sum(attempts.values()) == 5, "another attempt would cost money and not help"
    assert grown < 40
    assert slowest < 1.0
