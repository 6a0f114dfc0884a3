"""A worker's own HTTP: what an orchestrator asks, whoever else connects."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.fleet import Fleet
from support.processes import Service, call
from support.wire import said, statuses

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


def threads(worker: Service) -> int:
    return len(list(Path(f"/proc/{worker.pid}/task").iterdir()))


@pytest.mark.proves("reliability.health")
@pytest.mark.parametrize("path", ["livez", "startupz", "readyz", "metrics"])
async def test_the_workers_probes_answer_get_and_head(queue: Fleet, path: str) -> None:
    worker = queue.workers[0]
    assert call("GET", f"{worker.url}/{path}")[0] == 200
    assert call("HEAD", f"{worker.url}/{path}") == (200, b"")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "nothing", 404), ("POST", "livez", 405)])
async def test_the_workers_probes_answer_nothing_else(queue: Fleet, method: str, path: str, status: int) -> None:
    assert call(method, f"{queue.workers[0].url}/{path}")[0] == status


@pytest.mark.parametrize("line", [b"", b"GET", b"\xff\xfe\x00 \x80"], ids=["empty", "short", "bytes"])
async def test_what_is_no_request_is_refused_in_words(queue: Fleet, line: bytes) -> None:
    [status] = statuses(await said(queue.workers[0], line + b"\r\n\r\n"))
    assert status in (404, 405)


@pytest.mark.proves("security.bounds")
async def test_connections_that_say_nothing_take_no_probes_place_and_no_threads(queue: Fleet) -> None:
    worker = queue.workers[0]
    before = threads(worker)
    with ExitStack() as waiting:
        for _ in range(200):
            client = waiting.enter_context(socket.create_connection(("127.0.0.1", worker.port)))
            client.send(b"GET /livez HTTP/1.1\r\nX-Slow: ")
        assert statuses(await said(worker, LIVEZ, patience=2)) == [200]
        assert threads(worker) < before + 50


@pytest.mark.proves("security.bounds")
async def test_a_head_that_does_not_end_is_cut_off_by_the_worker(queue: Fleet) -> None:
    with socket.create_connection(("127.0.0.1", queue.workers[0].port)) as client:
        client.settimeout(10)
        with pytest.raises(ConnectionError):
            client.sendall(b"X-Many: a\r\n" * 6_000_000)


async def test_the_address_of_all_ipv6_interfaces_serves_ipv4_too(fleet: Fleet) -> None:
    worker = fleet.start(HOST="::")  # asks for readiness over IPv4
    assert statuses(await said(worker, LIVEZ, host="::1")) == [200]
