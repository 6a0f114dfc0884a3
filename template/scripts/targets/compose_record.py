"""The deployment record of Compose: FOLDER/run/rollout.json, changed by one process at a time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from . import Conflict, record

NOTHING = "none"  # what has the traffic before the first deploy


class Kept:
    """The record in a folder, and the one before it, for a hand that has to mend it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, folder / "rollout.json"
        self._before = folder / "rollout.before.json"

    def read(self) -> dict[str, Any]:
        """The record.

        Raises:
            TargetError: what is there is no record.
        """
        nothing = record.empty(NOTHING) | {"colours": {}, "settings": {}}
        if not self._file.exists():
            return nothing
        way_out = f"{self._before} is the one before: look at it, and copy it over"
        text = self._file.read_text(encoding="utf-8", errors="replace")
        return nothing | record.parsed(text, str(self._file), way_out)

    def write(self, state: dict[str, Any]) -> None:
        """Keeps the record as a whole or not at all: a full disk and a power cut leave the old one."""
        new = self._file.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(state, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        if self._file.exists():
            self._before.unlink(missing_ok=True)
            self._before.hardlink_to(self._file)
        new.replace(self._file)

    @contextmanager
    def locked(self) -> Iterator[dict[str, Any]]:
        """The record, for one writer at a time."""
        with self.lock("lock"):
            yield self.read()

    def lock(self, name: str) -> TextIO:
        """A locked file; closing it, or the end of the process, unlocks it."""
        lock = (self._folder / name).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise Conflict(f"{self._folder}: somebody else deploys or rolls back at this moment") from error
        return lock
