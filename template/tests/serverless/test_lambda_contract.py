"""The gateway's own contract tests, unchanged, against the same application on Lambda."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
FILES = ["test_openai_client.py", "test_operations.py", "test_refusals.py", "test_runs.py", "test_streams.py"]

# What Lambda's side of the contract does not have.
NOT_THERE = {
    "an event comes with its whole body, which AWS has bounded and waited for": [
        "test_refusals.py::test_a_body_that_announces_its_excessive_size_is_refused_before_it_is_sent",
        "test_refusals.py::test_a_body_of_unknown_size_is_refused_when_it_exceeds_the_limit",
        "test_refusals.py::test_without_a_key_no_body_is_read_at_all",
    ],
    "an answer leaves whole, and nobody tells of a client that went away or does not read": [
        "test_runs.py::test_a_client_that_disconnects_cancels_its_run_and_the_cost_is_booked",
        "test_streams.py::test_a_reader_that_disconnects_cancels_the_run",
        "test_streams.py::test_a_client_that_does_not_read_its_stream_is_cut_off",
        "test_streams.py::test_a_client_that_does_not_read_does_not_hold_the_exit",
        "test_streams.py::test_pieces_arrive_while_the_model_still_writes",
    ],
    "Lambda takes an environment out of service before it ends it; see test_lambda_sandbox.py for the signal": [
        "test_operations.py::test_sigterm_makes_unready_then_finishes_requests_in_flight_and_exits_with_0",
        "test_operations.py::test_sigint_finishes_requests_in_flight_without_the_drain",
    ],
}


@pytest.mark.proves("scale.horizontal")
@pytest.mark.proves("security.input")
def test_the_contract_of_the_gateway_holds_on_lambda() -> None:
    program = f"{sys.executable} {TESTS / 'support' / 'front.py'}"
    left_out = [f"--deselect=tests/contract/{test}" for tests in NOT_THERE.values() for test in tests]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *left_out, *(f"tests/contract/{file}" for file in FILES)],
        cwd=TESTS.parent,
        env={**os.environ, "TESTED_PROGRAM": program},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    assert "failed" not in done.stdout
    assert " passed" in done.stdout
