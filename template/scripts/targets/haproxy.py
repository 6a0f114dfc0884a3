"""The proxy of deploy/compose, over its runtime API: weights move without a reload, and it counts for each server."""

from __future__ import annotations

import csv
import io
import socket
from dataclasses import dataclass
from pathlib import Path

from . import TargetError

BACKEND = "service"
WHOLE = 256  # HAProxy's largest weight, shared out between the two


@dataclass(frozen=True)
class Server:
    """What the proxy knows of a server. The counters are of the time since `forget`."""

    up: bool
    weight: int
    answers: int
    failures: int  # answers with a 5xx, and requests that got no answer
    seconds: float  # mean of an answer's head


class Proxy:
    """A running HAProxy; every call is one command, and a connection of its own."""

    def __init__(self, folder: Path) -> None:
        self._socket, self._kept = folder / "haproxy.sock", folder / "servers.state"

    def servers(self) -> dict[str, Server]:
        said = self._say(f"show stat {BACKEND} 4 -1").removeprefix("# ")
        rows = [row for row in csv.DictReader(io.StringIO(said)) if row.get("svname")]
        if not rows:
            raise TargetError(f"the proxy tells nothing of the backend {BACKEND}: {said.strip() or 'an empty answer'}")
        return {
            row["svname"]: Server(
                row["status"].startswith(("UP", "no check")),
                int(row["uweight"] or 0),
                int(row["req_tot"] or 0),
                sum(int(row[name] or 0) for name in ("hrsp_5xx", "econ", "eresp")),
                int(row["rtime"] or 0) / 1000,
            )
            for row in rows
        }

    def weigh(self, weights: dict[str, int]) -> None:
        """Sets the weights; the one that rises comes first, so that there is always a server.

        Raises:
            OSError: they are set, and not kept for a restart.
        """
        now = self.servers()
        for name in sorted(weights, key=lambda name: now[name].weight - weights[name]):
            if answer := self._say(f"set server {BACKEND}/{name} weight {weights[name]}").strip():
                raise TargetError(f"the proxy refused a weight: {answer}")
        new = self._kept.with_suffix(".new")  # whole or not at all: a restart without it gives nobody the traffic
        new.write_text(self._say("show servers state"), encoding="utf-8")
        new.replace(self._kept)

    def forget(self) -> None:
        """Begins all counters and means at nothing."""
        self._say("clear counters all")

    def _say(self, command: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(str(self._socket))
                connection.sendall(f"{command}\n".encode())
                return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        except OSError as error:
            raise TargetError(f"the proxy does not answer at {self._socket}: {error}; is it up?") from error
