"""`ask` on a terminal."""

from __future__ import annotations

from pathlib import Path

from support.processes import command
from support.terminal import shown


def test_a_terminal_gets_the_answer_and_no_record_of_the_audit_trail(tmp_path: Path) -> None:
    assert shown("ask", "hello", folder=tmp_path) == ""


def test_the_record_goes_to_the_audit_file_or_to_the_pipe_of_a_collector(tmp_path: Path) -> None:
    filed = command("ask", "hello", folder=tmp_path, AUDIT_FILE=str(tmp_path / "audit.jsonl"))
    assert '"audit"' not in filed.stderr
    assert '"action": "run"' in (tmp_path / "audit.jsonl").read_text(encoding="utf-8")
    assert '"action": "run"' in command("ask", "hello", folder=tmp_path).stderr
