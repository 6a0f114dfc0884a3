"""The queue's commands with what they cannot use: a sentence and an exit code, never a stack trace."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from support.processes import command

DAILY = {"input": "hello", "cron": "0 6 * * *"}


@pytest.mark.proves("ship.config")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("submit", ""), "input: "),
        (("submit", "hello", "--id", "two words"), "id: "),
        (("submit", "hello", "--tenant", "a/b"), "A tenant has"),
        (("submit", "hello", "--priority", "99"), "--priority"),
    ],
    ids=str,
)
def test_a_task_that_cannot_be_one_is_bad_usage(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    result = command(*words, folder=tmp_path)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.proves("ship.config")
@pytest.mark.parametrize("words", [("work",), ("status", "one"), ("dead", "list")], ids=" ".join)
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


def test_a_port_that_is_taken_is_a_clear_failure_of_a_worker(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = command("work", folder=tmp_path, PORT=port)
    assert result.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in result.stderr
    assert "Traceback" not in result.stderr
