"""The audit trail of deploys, in the format of the service's own (telemetry/audit.py): append-only, a hash chain."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path

GENESIS = "0" * 64


class Trail:
    """Records go to stdout, one JSON object a line, and to AUDIT_FILE where that is set."""

    def __init__(self, actor: str, target: str, path: str | None = None, place: str = "") -> None:
        """`place` says which of several targets of this name it is: a cluster, an account, a machine."""
        self.actor, self.target, self._place = actor, target, place
        self._path = Path(path) if path else None
        self._chain, self._sequence, self._previous = uuid.uuid4().hex, 0, GENESIS
        if self._path:
            self._path.open("a").close()  # a file that cannot be written to is told of before anything is done
            self._continue(self._path)

    def record(self, action: str, outcome: str, **facts: str | float) -> None:
        if self._path is None:
            print(self._next(action, outcome, facts), flush=True)
            return
        # O_APPEND and a lock: two deploys at once continue one chain.
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._continue(self._path)
            line = self._next(action, outcome, facts)
            os.write(file, f"{line}\n".encode())
            os.fsync(file)
        finally:
            os.close(file)
        print(line, flush=True)

    def _continue(self, path: Path) -> None:
        if lines := path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                last = json.loads(lines[-1])
                self._chain, self._sequence, self._previous = last["chain"], last["sequence"], last["hash"]
            except (ValueError, KeyError, TypeError) as error:
                raise OSError(f"{path} does not end with an audit record: begin another file") from error

    def _next(self, action: str, outcome: str, facts: dict[str, str | float]) -> str:
        self._sequence += 1
        body: dict[str, str | float] = {
            "audit": True,
            "timestamp": datetime.now(UTC).isoformat(),
            "chain": self._chain,
            "sequence": self._sequence,
            "action": action,
            "actor": self.actor,
            "outcome": outcome,
            "target": self.target,
            "place": self._place,
            **facts,
            "previous": self._previous,
        }
        # What is no text, such as a byte of another encoding on the command line, is written as an escape.
        body = {
            name: each.encode(errors="backslashreplace").decode() if isinstance(each, str) else each
            for name, each in body.items()
        }
        text = json.dumps(body, sort_keys=True, ensure_ascii=False)
        self._previous = hashlib.sha256(text.encode()).hexdigest()
        return json.dumps({**body, "hash": self._previous}, ensure_ascii=False)
