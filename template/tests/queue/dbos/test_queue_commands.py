"""The queue's commands with what they cannot use: a sentence and an exit code, never a stack trace."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from support.processes import COMMAND, command, environment
from support.terminal import shown
from support.waiting import eventually

DAILY = {"input": "hello", "cron": "0 6 * * *"}


@pytest.mark.proves("ship.config")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("submit", ""), "input: "),
        (("submit", "hello", "--id", "two words"), "id: "),
        (("submit", "hello", "--tenant", "a/b"), "A tenant has"),
        (("submit", "hello", "--priority", "99"), "--priority"),
        (("status", "\udcff"), "An id has"),  # a byte that is no text
        (("cancel", "two words"), "An id has"),
        (("dead", "retry", "a/b"), "An id has"),
    ],
    ids=str,
)
def test_a_task_that_cannot_be_one_is_bad_usage(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    assert command("migrate", folder=tmp_path).returncode == 0
    result = command(*words, folder=tmp_path)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.proves("ship.config")
@pytest.mark.parametrize("words", [("migrate",), ("status", "one"), ("dead", "list")], ids=" ".join)
def test_a_database_that_is_away_is_said_without_its_password(tmp_path: Path, words: tuple[str, ...]) -> None:
    url = "postgresql://tasks:hush-hush@127.0.0.1:1/tasks"
    result = command(*words, folder=tmp_path, QUEUE__DATABASE_URL=url, PORT=0)
    assert result.returncode == 1
    assert "The queue's database cannot be used" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert "hush-hush" not in result.stdout + result.stderr


@pytest.mark.proves("ship.config")
@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "postgresql://host:port/tasks", "mysql://host/tasks"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    result = command("config", "check", folder=tmp_path, QUEUE__DATABASE_URL=url)
    assert result.returncode == 2
    assert "- QUEUE__DATABASE_URL: " in result.stderr


@pytest.mark.proves("ship.config")
@pytest.mark.parametrize(
    "schedules",
    [
        {"daily": {**DAILY, "cron": "99 99 * * *"}},
        {"daily": {**DAILY, "timezone": "Mars/Base"}},
        {"every day": DAILY},
    ],
    ids=["no time of day", "no time zone", "no name"],
)
def test_a_schedule_that_makes_no_sense_is_refused_at_the_start(tmp_path: Path, schedules: object) -> None:
    result = command("work", folder=tmp_path, QUEUE__SCHEDULES=json.dumps(schedules), PORT=0)
    assert result.returncode == 2
    assert "- QUEUE__SCHEDULES" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.proves("ship.config")
def test_both_names_of_postgresql_are_addresses(tmp_path: Path) -> None:
    result = command("status", "one", folder=tmp_path, QUEUE__DATABASE_URL="postgres://tasks@127.0.0.1:1/tasks")
    assert result.returncode == 1
    assert "The queue's database cannot be used" in result.stderr


@pytest.mark.proves("pattern.cqrs")
def test_tasks_are_listed_and_dead_letters_retried_all_at_once(tmp_path: Path) -> None:
    assert command("migrate", folder=tmp_path).returncode == 0
    for name in ("one", "two"):
        assert command("submit", "hello", "--id", name, "--deadline", "600", folder=tmp_path).returncode == 0
    listed = command("list", "--status", "queued", "--limit", str(10**20), folder=tmp_path)
    assert sorted(json.loads(line)["id"] for line in listed.stdout.splitlines()) == ["one", "two"]
    with closing(sqlite3.connect(tmp_path / "tasks.sqlite3")) as database, database:
        database.execute("UPDATE workflow_status SET status = 'ERROR', completed_at = created_at")
        error = '["ended",{"status":"dead","slug":"internal","detail":"no"}]'
        database.execute(
            f"INSERT INTO workflow_output (workflow_uuid, error) SELECT workflow_uuid, '{error}' FROM workflow_status"
        )
    assert len(command("dead", "list", folder=tmp_path).stdout.splitlines()) == 2
    retried = command("dead", "retry", "--all", folder=tmp_path)
    assert [json.loads(line)["status"] for line in retried.stdout.splitlines()] == ["queued", "queued"]
    assert command("dead", "list", folder=tmp_path).stdout == ""
    for words in (("dead", "retry"), ("dead", "retry", "one", "--all"), ("list", "--status", "unknown")):
        assert command(*words, folder=tmp_path).returncode == 2


@pytest.mark.proves("ship.config")
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:///:memory:", "a database in memory"),
        ("sqlite:///file:tasks?mode=memory&uri=true", "a database in memory"),
        ("postgresql://u@127.0.0.1:1/tasks?nonsense=1", 'cannot be used (invalid connection option "nonsense")'),
        ("postgresql://u@127.0.0.1:1/tasks?sslmode=always", "cannot be used (connection is bad: invalid sslmode value"),
    ],
)
@pytest.mark.parametrize("words", ["list", "work"])
def test_an_address_that_no_waiting_mends_is_refused(tmp_path: Path, url: str, reason: str, words: str) -> None:
    result = command(words, folder=tmp_path, QUEUE__DATABASE_URL=url, PORT=0)
    assert result.returncode == 2, result.stderr
    assert reason in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.proves("pattern.cqrs")
def test_a_dead_letter_that_is_gone_meanwhile_holds_up_no_other(tmp_path: Path) -> None:
    names = ("one", "two", "three")
    for name in names:
        assert command("migrate", folder=tmp_path).returncode == 0
        assert command("submit", "hello", "--id", name, folder=tmp_path).returncode == 0
    with closing(sqlite3.connect(tmp_path / "tasks.sqlite3")) as database, database:
        database.execute("UPDATE workflow_status SET status = 'ERROR', completed_at = created_at")
        error = '["ended",{"status":"dead","slug":"internal","detail":"no"}]'
        database.execute(
            f"INSERT INTO workflow_output (workflow_uuid, error) SELECT workflow_uuid, '{error}' FROM workflow_status"
        )
        database.execute(
            "CREATE TRIGGER meanwhile AFTER UPDATE OF status ON workflow_status WHEN new.workflow_uuid = 'local/three'"
            " BEGIN DELETE FROM workflow_status WHERE workflow_uuid = 'local/two'; END"
        )
    retried = command("dead", "retry", "--all", folder=tmp_path)
    assert [json.loads(line)["id"] for line in retried.stdout.splitlines()] == ["three", "one"]
    assert "There is no task two." in retried.stderr
    assert retried.returncode == 0


def test_a_port_that_is_taken_is_a_clear_failure_of_a_worker(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = command("work", folder=tmp_path, PORT=port)
    assert result.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in result.stderr
    assert "Give this process another PORT." in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("words", [("submit", "hello"), ("status", "one"), ("list",), ("dead", "list")], ids=" ".join)
def test_outside_the_services_folder_a_command_makes_no_database(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = command(*words, folder=tmp_path)
    assert result.returncode == 2
    assert f"QUEUE__DATABASE_URL: there is no {tmp_path / 'tasks.sqlite3'}" in result.stderr
    assert "in the folder of the service" in result.stderr
    assert not list(tmp_path.iterdir())


def test_submit_that_waits_says_that_no_worker_has_taken_the_task_and_waits_on(tmp_path: Path) -> None:
    assert command("migrate", folder=tmp_path).returncode == 0
    said = tmp_path / "stderr"
    submitting = [COMMAND, "submit", "hello", "--id", "one", "--wait"]
    with said.open("w") as file, subprocess.Popen(submitting, cwd=tmp_path, env=environment(), stderr=file) as process:
        try:
            eventually(lambda: "No worker has taken task one yet" in said.read_text(), within=30, what="it says so")
            assert process.poll() is None
        finally:
            process.kill()


def test_records_of_the_audit_trail_go_to_its_file_and_not_between_the_lines_of_a_terminal(tmp_path: Path) -> None:
    assert command("migrate", folder=tmp_path).returncode == 0
    filed = command("submit", "hello", folder=tmp_path, AUDIT_FILE=str(tmp_path / "audit.jsonl"))
    assert filed.stderr == ""
    assert '"action": "task.submit"' in (tmp_path / "audit.jsonl").read_text(encoding="utf-8")
    assert '"action": "task.submit"' in command("submit", "hello", folder=tmp_path).stderr, "a collector reads a pipe"
    assert shown("submit", "hello", folder=tmp_path) == ""
