"""How long a newcomer waits: `make demo` in a fresh clone, with an empty and with a filled package cache."""

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

from sizes import Size
from timing import row


def measure(template: Path, folder: Path, _: Size) -> None:
    cache = folder / "cache"
    for state, limit in (("cold", 60), ("warm", 15)):
        clone = folder / f"clone-{state}"
        home = folder / f"home-{state}"
        home.mkdir()
        started = time.perf_counter()
        subprocess.run(["git", "clone", "--quiet", template, clone], check=True)
        # uv and pip keep what they download here; a newcomer's second clone finds it.
        caches = {"UV_CACHE_DIR": str(cache / "uv"), "PIP_CACHE_DIR": str(cache / "pip")}
        done = subprocess.run(
            ["make", "demo"],
            cwd=clone,
            env=without_tools() | caches | {"HOME": str(home), "PORT": str(free_port())},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        waited = time.perf_counter() - started
        if done.returncode != 0:
            row(f"fresh clone to first answer, {state} cache", "-", f"failed:\n{done.stdout}{done.stderr}")
            return
        row(f"fresh clone to first answer, {state} cache", f"{waited:.1f} s", f"to reach: {limit} s")
        if project := re.search(r"^project   (.+)$", done.stdout, re.M):
            shutil.rmtree(Path(project[1]).parent)


def without_tools() -> dict[str, str]:
    """This environment without a virtual environment's commands, make's variables and uv."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "VIRTUAL_ENV"))}
    folders = [path for path in kept["PATH"].split(os.pathsep) if not (Path(path) / "uv").exists()]
    return kept | {"PATH": os.pathsep.join(folders)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
