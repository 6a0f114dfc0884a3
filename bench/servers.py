"""Servers that are measured: started on a core of their own, watched in /proc, stopped at the end."""

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timing import FAILURE_BYTES

# The measured server has the first core; load, model and stores share the others.
MEASURED = {min(os.sched_getaffinity(0))} if hasattr(os, "sched_getaffinity") else set()
OTHERS = (os.sched_getaffinity(0) - MEASURED or MEASURED) if MEASURED else set()
PATIENCE_SECONDS = 120.0


@contextmanager
def process(
    folder: Path, name: str, *command: str | Path, cores: set[int] = OTHERS, **variables: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """A server that writes into a file and is stopped at the end."""
    with (folder / f"{name}.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=inherited() | variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            os.sched_setaffinity(server.pid, cores)
            yield server
        finally:
            server.kill()
            server.wait()


def inherited() -> dict[str, str]:
    """The few variables that a server is given of this process's."""
    return {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}


def wait_for(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    """Waits until the server answers at the address, with whatever status below 500; shows its log if it does not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return
        except OSError:
            pass
        time.sleep(0.01)
    raise RuntimeError(f"{address} did not answer:\n{log.read_text()[-FAILURE_BYTES:]}")


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and its descendants have used (proc(5): fields 14 to 17 of stat, in clock ticks)."""
    used = 0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        used += sum(int(field) for field in fields[11:15])
    return used / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """Resident memory of a process and its descendants (proc(5): Rss of smaps_rollup)."""
    kib = 0
    for one in tree(pid):
        lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        kib += sum(int(line.split()[1]) for line in lines if line.startswith("Rss:"))
    return kib / 1_024


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in tree(int(child)))]
