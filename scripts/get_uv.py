"""Finds a uv; if there is none, installs the locked one into .tools. Prints its path.

Uses only the standard library, so that it runs on any machine with Python.
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
    """A tool is missing that only the user can install."""


def uv_path() -> str:
    """The uv of the variable UV, else the one on PATH, else the one in .tools, which is installed if need be."""
    own = TOOLS / "bin" / "uv"
    for candidate in (os.environ.get("UV"), shutil.which("uv"), own):
        if candidate and runs([str(candidate), "--version"]):
            return str(candidate)
    print("No uv on PATH: installing one into .tools", file=sys.stderr)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--require-hashes"]
    install += ["--requirement", str(LOCK)]
    # This Python's own pip is faster. If it has none, as on Debian, a virtual environment brings one.
    if runs([sys.executable, *install, "--target", str(TOOLS), "--upgrade"]):
        return str(own)
    if not runs([sys.executable, "-m", "venv", "--clear", str(TOOLS)]):
        shutil.rmtree(TOOLS, ignore_errors=True)
        raise ToolMissing("Python's venv module is incomplete; install it (on Debian: apt-get install python3-venv).")
    if subprocess.run([TOOLS / "bin" / "python", *install], check=False).returncode != 0:
        raise ToolMissing("pip could not install uv, see above; check the network and pip's index settings.")
    return str(own)


def runs(command: list[str]) -> bool:
    """Whether a command starts and succeeds; a version manager's shim may exist and still fail."""
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
