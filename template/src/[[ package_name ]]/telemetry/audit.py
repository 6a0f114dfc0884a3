"""The audit trail: actor, action, time and outcome. Append-only; each record is chained to the one before.

A record holds the SHA-256 of its predecessor, so that `verify` finds changed, removed and reordered records.
Records go to stdout as `"audit": true` lines and, with AUDIT_FILE, to a file. Inputs and answers are never in them.
"""

import fcntl
import hashlib
import json
import os
import sys
import time
import uuid
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

GENESIS = "0" * 64
_PATIENCE_SECONDS = 0.02  # many times the duration of a write


class Audit:
    """One chain of records. Each process starts its own, named by `chain`; with a file, it continues the file's.

    Several processes may share a file, such as a service and a command: they take turns.
    """

    def __init__(self, path: str | None = None, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._path, self._file, self._end = Path(path or ""), -1, 0
        self._begin()
        if path:
            # O_APPEND: no write of ours can land on an earlier record.
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)

    def record(self, action: str, *, actor: str, outcome: str, **facts: str | int | float | bool | None) -> None:
        """Appends a record. `facts` are ids and counts, never contents."""
        body: dict[str, object] = {
            "audit": True,
            "timestamp": datetime.now(UTC).isoformat(),
            "action": action,
            "actor": actor,
            "outcome": outcome,
            **{name: value for name, value in facts.items() if value is not None},
        }
        if self._file < 0:
            line = self._next(body)
        else:
            with _turn(self._file) as ours:
                self._follow() if ours else self._begin()
                line = self._next(body)
                os.write(self._file, line.encode())
                self._end = os.fstat(self._file).st_size if ours else -1
        self._stream.write(line)
        self._stream.flush()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _begin(self) -> None:
        self._chain, self._sequence, self._previous = uuid.uuid4().hex, 0, GENESIS

    def _follow(self) -> None:
        """Continues the chain at the end of the file, even if another process wrote it."""
        if os.fstat(self._file).st_size == self._end:
            return
        last = _last_line(self._path)
        try:
            record = json.loads(last)
            self._chain, self._sequence, self._previous = record["chain"], record["sequence"], record["hash"]
        except (ValueError, KeyError, TypeError):
            self._begin()
        if last and not last.endswith("\n"):
            os.write(self._file, b"\n")  # a crash cut the line off: `verify` reports it, a new chain begins below

    def _next(self, body: dict[str, object]) -> str:
        self._sequence += 1
        text = _canonical({**body, "chain": self._chain, "sequence": self._sequence, "previous": self._previous})
        self._previous = _sha256(text)
        return f'{text[:-1]}, "hash": "{self._previous}"}}\n'


@contextmanager
def _turn(file: int) -> Generator[bool]:
    """Waits briefly for a lock on the file; yields whether it was acquired. A process may hang while it holds it."""
    ours = _locked(file)
    end = time.monotonic() + _PATIENCE_SECONDS
    while not ours and time.monotonic() < end:
        time.sleep(0.001)
        ours = _locked(file)
    try:
        yield ours
    finally:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: there, only one process may write to the file
        return True
    return True


def _canonical(body: dict[str, object]) -> str:
    return json.dumps(body, sort_keys=True, ensure_ascii=False)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def verify(lines: Iterable[str]) -> list[str]:
    """The problems of a trail, one sentence each; empty if there are none. Skips other log lines."""
    problems: list[str] = []
    newest: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            if '"audit"' in line:
                problems.append(f"line {number}: the record is incomplete")
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
