"""The containers of deploy/compose: each is started and stopped by name, and Prometheus is told which of them run."""

from __future__ import annotations

import json
import os
import socket
from hashlib import sha256
from pathlib import Path

from . import local

COLOURS = ("blue", "green")
OPERATIONS_PORT = 9090  # of each container, as compose.yaml sets it


class Containers:
    """The services of a folder's compose file, by `docker compose`."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder, self._run, self._seconds = folder, folder / "run", seconds
        self._scraped = self._run / "scraped"  # a file for each container that Prometheus is to find
        self._scraped.mkdir(parents=True, exist_ok=True)

    def settings(self) -> str:
        """A digest of what a container is made from beside its image."""
        files = [self._folder / name for name in ("compose.yaml", ".env", "service.env")]
        return sha256(b"\0".join(file.read_bytes() if file.exists() else b"" for file in files)).hexdigest()

    def up(self, services: list[str]) -> None:
        self.compose("up", "--detach", "--no-deps", *services)
        self.note(services)

    def note(self, services: list[str]) -> None:
        for each in services:
            targets = [{"targets": [f"{each}:{OPERATIONS_PORT}"]}]
            (self._scraped / f"{each}.json").write_text(json.dumps(targets), encoding="utf-8")

    def forget(self, services: list[str]) -> None:
        for each in services:
            (self._scraped / f"{each}.json").unlink(missing_ok=True)

    def runs(self, service: str) -> bool:
        """Whether it was started, and not stopped."""
        return (self._scraped / f"{service}.json").exists()

    def stop(self, services: list[str]) -> None:
        self.forget(services)  # before it: what is killed in the middle is started by the next rollback
        try:
            self.compose("stop", *services)
        except BaseException:
            self.note(services)
            raise

    def of(self, colour: str) -> list[str]:
        found = self.compose("config", "--services").split()
        return [name for name in found if name in (colour, f"worker-{colour}")]

    def compose(self, *words: str) -> str:
        where = ["--project-directory", str(self._folder)]
        for file in (self._folder / ".env", self._run / "images.env"):
            where += ["--env-file", str(file)]
        return local.command("docker", "compose", *where, *words, seconds=self._seconds)

    def url(self, colour: str) -> str:
        default = {"blue": "8001", "green": "8002"}.get(colour, "0")
        return f"http://127.0.0.1:{os.environ.get(f'{colour.upper()}_PORT', default)}"

    def listens(self, colour: str) -> bool:
        """Whether its process takes connections, however busy it is."""
        port = int(self.url(colour).rpartition(":")[2])
        try:
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
        except OSError:
            return False
        return True
