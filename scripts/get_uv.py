"""Finds a uv or, where there is none, installs the locked one into .tools. Prints its path.

Standard library only: this runs on a machine that has nothing else.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
LOCK = ROOT / "locks" / "uv.txt"


class ToolMissing(Exception):
    """Something that only the person at the machine can install."""


def uv_path() -> str:
    """The uv of the variable UV, the one on PATH, the project's own, or the project's own after installing it."""
    own = TOOLS / "bin" / "uv"
    for candidate in (os.environ.get("UV"), shutil.which("uv"), own):
        if candidate and runs([str(candidate), "--version"]):
            return str(candidate)
    print("No uv on PATH: installing one into .tools", file=sys.stderr)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--require-hashes"]
    install += ["--requirement", str(LOCK)]
    # This Python's own pip is the fast way; where it has none, as on Debian, a virtual environment brings one.
    if runs([sys.executable, *install, "--target", str(TOOLS), "--upgrade"]):
        return str(own)
    if not runs([sys.executable, "-m", "venv", "--clear", str(TOOLS)]):
        shutil.rmtree(TOOLS, ignore_errors=True)
        raise ToolMissing("Python's venv module is incomplete here; install it (Debian: apt-get install python3-venv).")
    if subprocess.run([TOOLS / "bin" / "python", *install], check=False).returncode != 0:
        raise ToolMissing("uv could not be installed (pip says why above); check the network and pip's index settings.")
    return str(own)


def runs(command: list[str]) -> bool:
    """Whether a command can be started and ends well; a version manager's shim may be there and still fail."""
    try:
        return (
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
        )
    except OSError:
        return False


if __name__ == "__main__":
    try:
        print(uv_path())
    except ToolMissing as problem:
        sys.exit(str(problem))
