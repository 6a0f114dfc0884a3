"""The audit trail: who did what, when, with which outcome. Append-only, each record chained to the one before.

A record holds the SHA-256 of its predecessor, so that a changed, removed or reordered record is found by `verify`.
Records go to stdout as `"audit": true` lines and, with AUDIT_FILE, to a file. Inputs and answers are never in them.
"""

import hashlib
import json
import os
import sys
import uuid
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

GENESIS = "0" * 64


class Audit:
    """One chain. Each process starts its own (`chain` names it); with a file, the file's chain is continued."""

    def __init__(self, path: str | None = None, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._file: int | None = None
        self.chain, self._sequence, self._previous = uuid.uuid4().hex, 0, GENESIS
        if path:
            # O_APPEND: no write of ours can land on an earlier record.
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            last = _last_line(Path(path))
            if last and not last.endswith("\n"):
                os.write(self._file, b"\n")  # cut off by a crash: `verify` says so, and a new chain begins below it
            with suppress(ValueError, KeyError, TypeError):
                record = json.loads(last)
                self.chain, self._sequence, self._previous = record["chain"], record["sequence"], record["hash"]

    def record(self, action: str, *, actor: str, outcome: str, **facts: str | int | float | bool | None) -> None:
        """Appends a record. `facts` are ids and counts, never contents."""
        self._sequence += 1
        body: dict[str, object] = {
            "audit": True,
            "timestamp": datetime.now(UTC).isoformat(),
            "chain": self.chain,
            "sequence": self._sequence,
            "action": action,
            "actor": actor,
            "outcome": outcome,
            **{name: value for name, value in facts.items() if value is not None},
            "previous": self._previous,
        }
        text = _canonical(body)
        self._previous = _sha256(text)
        line = f'{text[:-1]}, "hash": "{self._previous}"}}\n'
        if self._file is not None:
            os.write(self._file, line.encode())
        self._stream.write(line)
        self._stream.flush()

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _canonical(body: dict[str, object]) -> str:
    return json.dumps(body, sort_keys=True, ensure_ascii=False)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def verify(lines: Iterable[str]) -> list[str]:
    """What is wrong with a trail, a sentence each; empty when it is whole. Other log lines in between are skipped."""
    problems: list[str] = []
    newest: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            if '"audit"' in line:
                problems.append(f"line {number}: not a whole record")
            continue
        if record.get("audit") is not True:
            continue
        claimed = record.pop("hash", None)
        if _sha256(_canonical(record)) != claimed:
            problems.append(f"line {number}: the record was changed after it was written")
        sequence, previous = newest.get(record.get("chain", ""), (0, GENESIS))
        if record.get("sequence") != sequence + 1 or record.get("previous") != previous:
            problems.append(f"line {number}: records before it are missing or out of order")
        newest[record.get("chain", "")] = (record.get("sequence", 0), str(claimed))
    return problems


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(-min(file.tell(), 65_536), os.SEEK_END)
        lines = file.read().decode(errors="replace").splitlines(keepends=True)
    return lines[-1] if lines else ""
