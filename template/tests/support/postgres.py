"""A PostgreSQL server from the system's packages, in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path

import sqlalchemy as sa

from support.processes import free_port

MISSING = "no PostgreSQL server is installed (Debian: apt-get install postgresql); CI has it"

_numbers = count(1)


class Postgres:
    """A server on a port of its own; `stop` and `start` keep its data and the port."""

    def __init__(self) -> None:
        self.port = free_port()
        # Not in pytest's folders, which other users cannot enter: the server never runs as root, the tests may.
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._as: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
            self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._run("initdb", "--username=postgres", "--auth=trust", "--no-sync")
        self.start()

    @staticmethod
    def programs() -> Path | None:
        """The folder with initdb and pg_ctl; Debian keeps it off PATH."""
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if on_path := shutil.which("initdb"):
            found.append(Path(on_path))
        return found[-1].parent if found else None

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300"
        self._run("pg_ctl", "--options", options, "--wait", "--log", str(self._folder / "log"), "start")

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is a crash: after the next start, only committed data exist."""
        self._run("pg_ctl", "--mode", mode, "--wait", "stop")

    def new_database(self) -> str:
        """The address of an empty database."""
        name = f"tasks{next(_numbers)}"
        engine = sa.create_engine(f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str) -> None:
        folder = self.programs()
        assert folder, MISSING
        command = [*self._as, str(folder / program), "--pgdata", str(self._folder / "data"), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
