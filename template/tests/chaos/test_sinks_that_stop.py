"""Logs and the audit trail go to a pipe without a reader, to a closed pipe, and to a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import KEY, StartService, settings_for
from support.figures import Row
from support.processes import COMMAND, Upstream, call, environment, free_port
from support.waiting import eventually

RUNS = 300  # their log lines exceed a pipe's buffer
HEADERS = {"authorization": f"Bearer {KEY}"}


def asked(url: str) -> int:
    return call("POST", f"{url}/v1/runs", {"input": "hello " * 100}, HEADERS)[0]


@pytest.mark.proves("observe.sinks")
@pytest.mark.parametrize("stdout", ["unread", "closed", "full"])
def test_a_service_works_and_stops_although_stdout_is_stuck(
    stdout: str, upstream: Upstream, tmp_path: Path, row: Row
) -> None:
    port = free_port()
    settings = settings_for(upstream, PORT=port, HOST="127.0.0.1")
    reader, writer = os.pipe()
    target = os.open("/dev/full", os.O_WRONLY) if stdout == "full" else writer
    process = subprocess.Popen(
        [COMMAND, "serve"], cwd=tmp_path, env=environment(**settings), stdout=target, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: call("GET", f"{url}/readyz")[0] == 200, within=30, what="it is ready")
        if stdout == "closed":
            os.close(reader)
        began = time.monotonic()
        assert {asked(url) for _ in range(RUNS)} == {200}
        answered = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        row.shows(answered=RUNS, seconds=answered - began, seconds_to_its_end=time.monotonic() - answered)
    finally:
        process.kill()
        process.wait()
        for end in {reader, writer, target} - ({reader} if stdout == "closed" else set()):
            os.close(end)


@pytest.mark.proves("observe.sinks")
@pytest.mark.proves("security.audit")
def test_a_required_trail_on_a_full_disk_stops_runs_before_they_cost(
    start_service: StartService, upstream: Upstream
) -> None:
    service = start_service(AUDIT_FILE="/dev/full", AUDIT__REQUIRED=True)
    assert asked(service.url) == 200, "the first run cannot know yet"
    eventually(lambda: call("GET", f"{service.url}/readyz")[0] == 503, within=10, what="it is not ready")
    assert b"No space left" in call("GET", f"{service.url}/readyz")[1]
    paid = upstream.attempts()
    status, problem = call("POST", f"{service.url}/v1/runs", {"input": "hello"}, HEADERS)
    assert (status, b"audit-unavailable" in problem) == (503, True)
    assert upstream.attempts() == paid


@pytest.mark.proves("observe.sinks")
def test_an_optional_trail_on_a_full_disk_stops_no_run(start_service: StartService) -> None:
    service = start_service(AUDIT_FILE="/dev/full")
    assert {asked(service.url) for _ in range(5)} == {200}
    assert b"No space left" in call("GET", f"{service.url}/readyz")[1]
