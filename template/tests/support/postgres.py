"""A PostgreSQL server from the system's packages, in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

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
        self.as_its_user: list[str] = []
        if os.geteuid() == 0:
            self.as_its_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self.owns(self._folder)
        self._run("initdb", "--username=postgres", "--auth=trust", "--no-sync")
        self.start()

    @staticmethod
    def programs() -> Path | None:
        """The folder with initdb and pg_ctl; Debian keeps it off PATH."""
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if on_path := shutil.which("initdb"):
            found.append(Path(on_path))
        return found[-1].parent if found else None

    def start(self, connections: int = 300) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
        options += f" -c max_connections={connections}"
        self._run("pg_ctl", "--options", options, "--wait", "--log", str(self._folder / "log"), "start")

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is a crash: after the next start, only committed data exist."""
        self._run("pg_ctl", "--mode", mode, "--wait", "stop")

    def owns(self, folder: Path) -> None:
        """Gives a folder to the user that the server runs as."""
        if self.as_its_user:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, "postgres", "postgres")

    def address(self, database: str, user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    @property
    def socket(self) -> Path:
        return self._folder / f".s.PGSQL.{self.port}"

    def by_socket(self, address: str) -> str:
        """The same database by the server's socket."""
        return address.replace(f"127.0.0.1:{self.port}", "") + f"?host={self._folder}&port={self.port}"

    def new_database(self) -> str:
        """The address of an empty database."""
        name = f"tasks{next(_numbers)}"
        self.say(f"CREATE DATABASE {name}")
        return self.address(name)

    def say(self, *statements: str, url: str | None = None) -> list[Any]:
        """Runs statements as the superuser, and returns the rows of the last one."""
        address = (url or self.address("postgres")).replace("postgresql:", "postgresql+psycopg:")
        engine = sa.create_engine(address, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            results = [connection.exec_driver_sql(statement) for statement in statements]
            return list(results[-1]) if results[-1].returns_rows else []

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str) -> None:
        folder = self.programs()
        assert folder, MISSING
        command = [*self.as_its_user, str(folder / program), "--pgdata", str(self._folder / "data"), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
