"""The commands of the runbook's section "Restore", as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from support.processes import Redis, environment

RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"


def commands(word: str) -> str:
    """The block of commands that has this word."""
    section = RUNBOOK.read_text(encoding="utf-8").partition("\n## Restore\n")[2].partition("\n## ")[0]
    blocks: list[str] = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if word in block]
    return block


def follow(word: str, folder: Path, *programs: Path, **addresses: str) -> None:
    """Runs a block in a folder, with these addresses in its environment and these folders of programs on PATH."""
    path = os.pathsep.join([*map(str, programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    given = environment(**addresses) | {"PATH": path}
    done = subprocess.run(
        ["sh", "-eu", "-c", commands(word)], cwd=folder, env=given, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{commands(word)}\n{done.stdout}{done.stderr}"


def kept_redis(folder: Path) -> Redis:
    """A Redis as in production, which reads what the folder has."""
    folder.mkdir(exist_ok=True)
    return Redis(folder, "--appendonly", "yes")
