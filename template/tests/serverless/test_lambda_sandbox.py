"""What lives between invocations, under AWS' own runtime client: cold, warm, out of time, told to end."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.collector import Collector
from support.functions import StartFunction, asked
from support.processes import Upstream, environment
from support.runtime import PACKAGE, Function
from support.waiting import eventually

RUN = b'{"input": "hello"}'
HELLO = {"input": "hello"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


def test_the_first_invocation_opens_the_service_and_the_next_ones_find_it_open(start_function: StartFunction) -> None:
    function = start_function()
    answers = [function.invoke(HELLO).result["output"] for _ in range(3)]
    assert answers == ["You said: hello"] * 3
    assert len(function.logs("opened")) == 1


def test_the_garbage_collector_is_off_during_the_imports_and_leaves_out_what_they_made() -> None:
    script = "import gc; gc.callbacks.append(lambda phase, info: seen.append(info['generation'])); seen = []; "
    script += f"import {PACKAGE}.api; print(len(seen), gc.isenabled(), gc.get_freeze_count() > 100_000)"
    told = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True)
    collections, enabled, frozen = told.stdout.split()
    assert int(collections) < 100  # 550 with the collector on; a few modules come before it is off
    assert (enabled, frozen) == ("True", "True")


@pytest.mark.proves("reliability.timeouts")
@pytest.mark.parametrize(("configured", "invocation"), [(2.0, 60.0), (60.0, 4.0)], ids=["its own", "Lambda's"])
def test_a_run_ends_at_the_smaller_of_its_deadline_and_what_is_left_of_the_invocation(
    configured: float, invocation: float, start_function: StartFunction, upstream: Upstream
) -> None:
    function = start_function(RUN__DEADLINE_SECONDS=configured)
    function.invoke(HELLO)
    upstream.plays({"fault": "hang"})
    began = time.monotonic()
    failed = function.invoke(HELLO, invocation)
    assert time.monotonic() - began < min(configured, invocation) + 0.5
    assert failed.error is not None
    assert failed.error["errorType"] == "DeadlineExceeded"
    upstream.plays()
    assert function.invoke(HELLO).result["output"] == "You said: hello"


@pytest.mark.proves("ship.config")
def test_settings_that_cannot_be_used_fail_each_invocation_with_all_that_is_wrong_and_end_nothing(
    start_function: StartFunction,
) -> None:
    function = start_function(RUN__DEADLINE_SECONDS="soon", GUARD__ATTEMPTS=0)
    for _ in range(2):
        error = function.invoke(HELLO).error
        assert error is not None
        assert error["errorType"] == "SettingsError"
        assert "RUN__DEADLINE_SECONDS" in error["errorMessage"]
        assert "GUARD__ATTEMPTS" in error["errorMessage"]


@pytest.mark.proves("scale.balancing")
def test_told_to_end_it_exits_with_0_and_leaves_nothing_open_in_less_than_lambda_grants(
    start_function: StartFunction, redis: Any, upstream: Upstream
) -> None:
    function = start_function(STATE_URL=redis.url)
    function.invoke(HELLO)
    assert redis.connections() > 0
    began = time.monotonic()
    function.signal()
    assert function.ended(within=2.0) == 0
    assert time.monotonic() - began < 2.0
    eventually(lambda: redis.connections() == 0, what="its connections are closed")


def test_told_to_end_in_the_middle_of_a_run_it_accounts_for_it(
    start_function: StartFunction, upstream: Upstream
) -> None:
    function = start_function()
    function.invoke(HELLO)
    upstream.plays({"fault": "hang"})
    function.api.send(HELLO, 60)
    eventually(lambda: upstream.attempts() == 2, what="the model is asked")
    function.signal()
    assert function.ended(within=3.0) == 0
    assert function.logs("run")[-1]["outcome"] == "cancelled"


@pytest.mark.proves("observe.traces")
@pytest.mark.proves("observe.metrics")
def test_telemetry_has_left_when_the_answer_does_since_the_environment_is_frozen_then(
    start_function: StartFunction, collector: Collector
) -> None:
    function = start_function(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    function.invoke(HELLO)
    assert "invoke_agent agent" in {span.name for span in collector.spans}
    assert "agent.run.duration" in collector.metric_names


def test_a_collector_that_does_not_answer_holds_no_answer_up_for_long(start_function: StartFunction) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        function = start_function(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{deaf.getsockname()[1]}")
        function.invoke(HELLO)
        began = time.monotonic()
        assert function.invoke(HELLO).result["output"] == "You said: hello"
        assert time.monotonic() - began < 2.0


@pytest.mark.proves("security.rotation")
def test_a_secret_that_was_rotated_while_it_was_frozen_is_used_by_the_next_invocation(
    start_function: StartFunction, upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "MODEL__API_KEY").write_text("first-key-of-the-model")
    upstream.plays(allowed_keys=["first-key-of-the-model"])
    function = start_function(
        SECRETS__SOURCE="files", SECRETS__DIR=str(tmp_path), SECRETS__REFRESH_SECONDS=0.2, MODEL__API_KEY="unused"
    )
    assert function.invoke(HELLO).result["output"] == "You said: hello"
    (tmp_path / "MODEL__API_KEY").write_text("second-key-of-the-model")
    upstream.plays(allowed_keys=["second-key-of-the-model"])
    time.sleep(0.3)  # as long as SECRETS__REFRESH_SECONDS says that it may keep the old one
    upstream.forget()
    assert function.invoke(HELLO).result["output"] == "You said: hello"
    assert upstream.attempts() == 1  # not refused first


def test_the_import_opens_no_socket_and_reads_no_setting_so_that_a_snapshot_holds_none() -> None:
    code = """
import random, sys
seen = []
sys.addaudithook(lambda event, _: seen.append(event) if event.startswith("socket.") else None)
import MODULE
import snapshot_restore_py
before = [event for event in seen if event in ("socket.connect", "socket.getaddrinfo")]
random.seed(7)
expected = random.Random(7).random()
for function, args, kwargs in snapshot_restore_py.get_after_restore():
    function(*args, **kwargs)
print(before, random.random() != expected)
""".replace("MODULE", f"{PACKAGE}.api")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(RUN__DEADLINE_SECONDS="soon", MODEL__PRIMARY="openai-chat:primary", SECRETS__SOURCE="files"),
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[] True", done.stderr


def test_a_snapshot_that_is_restored_answers(start_function: StartFunction) -> None:
    function = start_function(AWS_LAMBDA_INITIALIZATION_TYPE="snap-start")
    assert function.invoke(HELLO).result["output"] == "You said: hello"


@pytest.mark.proves("observe.logs")
def test_each_line_of_the_log_is_json_and_names_the_invocation(function: Function) -> None:
    invocation = function.invoke(HELLO)
    eventually(lambda: [line for line in function.logs("run") if line["request_id"] == invocation.id], what="its line")
    assert all(json.loads(line) for line in function.lines)


def test_a_request_without_a_key_is_refused(function: Function) -> None:
    refused = asked(function, "POST", "/v1/runs", RUN, key="wrong").result
    assert refused["statusCode"] == 401
    assert json.loads(refused["body"])["type"] == "urn:problem:unauthenticated"
