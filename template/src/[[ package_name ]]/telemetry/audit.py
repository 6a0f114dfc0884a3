"""The audit trail: actor, action, time and outcome. Append-only; each record is chained to the one before.

A record holds the SHA-256 of its predecessor, so that `verify` finds changed, removed and reordered records.
Records go to stdout as `"audit": true` lines and, with AUDIT_FILE, to a file. They never hold inputs or answers.
"""

import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from . import sinks
from .chain import GENESIS, canonical, digest

_PATIENCE_SECONDS = 0.02  # many times the duration of a write
_CLOSE_SECONDS = 2.0


class Stream(Protocol):
    """The output for a copy of each record."""

    def write(self, text: str, /) -> int: ...
    def flush(self) -> None: ...


class Audit:
    """One chain of records. Each process starts its own, named by `chain`; with a file, it continues the file's.

    Several processes may share a file, such as a service and a command: they take turns. After a rotation, by a rename
    or by truncation, the first record of the new file names the last hash of the old one.

    A record is handed over and written by a thread, so that a run never waits for a disk. A file that refuses records
    gets them once it can be written to again; `trouble` says why it cannot.
    """

    _chain: str
    _sequence: int
    _previous: str

    def __init__(self, path: str | None = None, stream: Stream | None = None, *, required: bool = False) -> None:
        self.required = required  # whether the service refuses work while the trail cannot be written
        self._stream = stream or sinks.stdout()
        self._turn = threading.Lock()
        self._path, self._file, self._end = Path(path or ""), -1, 0
        self._begin()
        self._sink: sinks.Sink[dict[str, object]] | None = None
        if path:
            self._open()
            self._sink = sinks.Sink("audit", self._append, retries=True)

    @property
    def trouble(self) -> str:
        """The reason why the trail cannot be written now; empty if it can. Without a file, stdout is the trail."""
        if self._sink:
            return self._sink.trouble and f"{self._path}: {self._sink.trouble}"
        if isinstance(self._stream, sinks.Output):
            return self._stream.sink.trouble and f"stdout: {self._stream.sink.trouble}"
        return ""

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
        if self._sink:
            self._sink.put(body, 512)
        else:
            with self._turn:
                self._copy(self._next(body))

    def flush(self, seconds: float) -> bool:
        """Waits until the file has every record, for at most `seconds`; False if some are missing."""
        return self._sink.flush(seconds) if self._sink else True

    def close(self) -> None:
        """Waits for the queued records, for at most two seconds."""
        if self._sink and self._sink.close(_CLOSE_SECONDS):
            os.close(self._file)

    def _append(self, body: dict[str, object]) -> None:
        self._reopen()
        with _turn(self._file) as ours:
            self._follow() if ours else self._begin()
            before = self._chain, self._sequence, self._previous
            line = self._next(body)
            try:
                self._write(line)
            except OSError:
                self._chain, self._sequence, self._previous = before
                raise
            self._end = os.fstat(self._file).st_size if ours else -1
        self._copy(line)

    def _write(self, line: str) -> None:
        """Writes the whole line or none of it."""
        data, size = line.encode(errors="backslashreplace"), os.fstat(self._file).st_size
        written = os.write(self._file, data)
        if written < len(data):
            with suppress(OSError):
                os.ftruncate(self._file, size)
            raise OSError("no room for a whole record")

    def _copy(self, line: str) -> None:
        with suppress(OSError, ValueError):  # this is only a copy; its terminal may be closed
            self._stream.write(line)
            self._stream.flush()

    def _open(self) -> None:
        # O_APPEND: no write of ours can land on an earlier record.
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOCTTY, 0o600)

    def _begin(self) -> None:
        self._chain, self._sequence, self._previous = uuid.uuid4().hex, 0, GENESIS

    def _reopen(self) -> None:
        """Reopens the path if its file was renamed. The chain continues from the last record of the old file."""
        if self._path.exists() and self._path.stat().st_ino == os.fstat(self._file).st_ino:
            return
        old = self._file
        self._follow()
        self._open()
        self._end = 0
        os.close(old)

    def _follow(self) -> None:
        """Continues the chain at the end of the file; another process may have written there."""
        size = os.fstat(self._file).st_size
        if size in (0, self._end):
            return  # an empty file continues our chain: its first record names the last hash of the file before
        last = _last_line(self._file, size)
        try:
            record = json.loads(last)
            found = str(record["chain"]), int(record["sequence"]), str(record["hash"])
            self._chain, self._sequence, self._previous = found
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):  # no record of ours
            self._begin()
        if not last.endswith("\n"):
            os.write(self._file, b"\n")  # a crash cut the line off: `verify` reports it, a new chain begins below

    def _next(self, body: dict[str, object]) -> str:
        self._sequence += 1
        text = canonical({**body, "chain": self._chain, "sequence": self._sequence, "previous": self._previous})
        self._previous = digest(text)
        return f'{text[:-1]}, "hash": "{self._previous}"}}\n'


@contextmanager
def _turn(file: int) -> Generator[bool]:
    """Waits briefly for a lock on the file; yields whether it was acquired. If another process hangs with the lock, the
    record begins its own chain."""
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


def _last_line(file: int, size: int) -> str:
    tail = os.pread(file, 65_536, max(0, size - 65_536)).decode(errors="replace")
    return tail[tail.rstrip("\n").rfind("\n") + 1 :]
