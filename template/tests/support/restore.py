"""The commands of the runbook's section "Restore", as they stand there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.processes import Redis, environment
from support.runbook import block


def follow(word: str, folder: Path, *programs: Path, **addresses: str) -> None:
    """Runs a block in a folder, with these addresses in its environment and these folders of programs on PATH."""
    path = os.pathsep.join([*map(str, programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    given = environment(**addresses) | {"PATH": path}
    commands = block("Restore", word)
    done = subprocess.run(
        ["sh", "-eu", "-c", commands], cwd=folder, env=given, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"


def kept_redis(folder: Path) -> Redis:
    """A Redis as in production, which reads what the folder has."""
    folder.mkdir(exist_ok=True)
    return Redis(folder, "--appendonly", "yes")
