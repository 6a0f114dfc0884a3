"""PgBouncer from the system's packages, in front of a PostgreSQL server of the tests."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from support.postgres import Postgres
from support.processes import free_port
from support.waiting import eventually

MISSING = "no PgBouncer is installed (Debian: apt-get install pgbouncer); CI has it"


def program() -> str | None:
    """Debian keeps it off PATH."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@contextmanager
def pgbouncer(server: Postgres, url: str, mode: str = "transaction", size: int = 8) -> Generator[str]:
    """The address of the same database through a pooler with so many connections to the server."""
    pooler = program()
    assert pooler, MISSING
    folder, port = Path(tempfile.mkdtemp(prefix="pgbouncer-")), free_port()
    (folder / "users").write_text('"postgres" ""\n"service" ""\n')
    (folder / "ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n"
        f"auth_file = {folder}/users\npool_mode = {mode}\ndefault_pool_size = {size}\n"
    )
    server.owns(folder)
    starting = [*server.as_its_user, pooler, "--quiet", str(folder / "ini")]
    process = subprocess.Popen(starting, stderr=subprocess.DEVNULL, cwd="/")
    try:
        eventually(lambda: _listens(port), what="PgBouncer accepts connections")
        yield url.replace(f":{server.port}/", f":{port}/")
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
