"""`serve` on a developer's machine: the tasks' engine of production, without an AWS account."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from conftest import settings_for
from support import processes
from support.processes import Json, Service, Upstream, call, command
from support.waiting import eventually

HERE = {"SERVERLESS__TASKS_TABLE": "", "SERVERLESS__QUEUE_URL": ""}
# A module that stands before the real one on the path.
NO_MOTO = "raise ModuleNotFoundError"


def two_free_ports() -> int:
    """The first of two, below those that the system gives to connections meanwhile."""
    while True:
        port = random.randrange(20_000, 30_000)
        with suppress(OSError):
            for each in (port, port + 1):
                socket.create_server(("127.0.0.1", each)).close()
            return port


@pytest.fixture
def service(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(processes, "free_port", two_free_ports)
    settings = settings_for(upstream, AUTH__DISABLED="true", QUEUE__ATTEMPTS=2, QUEUE__RETRY_SECONDS=0.1, **HERE)
    service = Service(tmp_path, **settings).wait_ready()
    yield service
    upstream.plays()
    assert service.stop() == 0, service.output
    assert not listens(service.port + 1), "moto ends with the command"


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def ended(service: Service, task: str) -> Json:
    def view() -> Json:
        found: Json = json.loads(call("GET", f"{service.url}/v1/tasks/{task}")[1])
        return found if found["status"] not in ("queued", "running") else {}

    return eventually(view, within=30, what=f"task {task} has ended")


@pytest.mark.proves("pattern.queue")
def test_tasks_are_done_on_this_machine_and_one_line_says_so(service: Service, upstream: Upstream) -> None:
    assert service.logged("tasks_on_this_machine")
    status, _ = call("POST", f"{service.url}/v1/tasks", {"input": "hello", "id": "first"})
    assert status == 202
    done = ended(service, "first")
    assert (done["status"], done["result"]["output"]) == ("completed", "You said: hello")
    assert json.loads(call("GET", f"{service.url}/readyz")[1])["queue"] == "ok"
    upstream.plays({"fault": "status", "status": 503})
    call("POST", f"{service.url}/v1/tasks", {"input": "hello", "id": "second"})
    assert ended(service, "second")["status"] == "dead"
    upstream.plays()
    assert command("dead", "retry", "second", folder=Path("/"), PORT=service.port).returncode == 0
    assert ended(service, "second")["status"] == "completed"


def test_the_commands_find_the_tasks_of_a_running_service(service: Service) -> None:
    submitted = command("submit", "hello", "--id", "third", "--wait", folder=Path("/"), PORT=service.port)
    assert submitted.returncode == 0, submitted.stderr
    assert json.loads(submitted.stdout)["status"] == "completed"


def test_a_long_task_holds_up_no_other(service: Service, upstream: Upstream) -> None:
    upstream.plays({"fault": "hang", "asked": "long"})
    call("POST", f"{service.url}/v1/tasks", {"input": "long", "id": "long"})
    eventually(lambda: upstream.attempts() == 1, within=20, what="the long task is begun")
    call("POST", f"{service.url}/v1/tasks", {"input": "short", "id": "short"})
    assert ended(service, "short")["status"] == "completed"


@pytest.mark.proves("ship.config")
def test_without_moto_a_sentence_says_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "first on the path"
    folder.mkdir()
    (folder / "moto.py").write_text(NO_MOTO)
    refused = command("serve", folder=tmp_path, PYTHONPATH=str(folder))
    assert refused.returncode == 2
    assert "SERVERLESS__TASKS_TABLE: missing" in refused.stderr
    assert "make install" in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr


def test_a_port_that_is_taken_is_a_clear_failure(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = command("serve", folder=tmp_path, PORT=taken.getsockname()[1] - 1)
    assert refused.returncode == 1
    assert "in use" in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
