"""What the parts need of this machine. `make bench` checks all of it before the first measurement."""

import platform
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path

from contenders import OTHERS
from timing import UV

# Programs by part, each with the Debian package that has it; every part needs git.
PROGRAMS = {
    "first_answer": {"make": "make"},
    "cold_start": {"make": "make"},
    "queue": {"redis-server": "redis-server", "initdb": "postgresql"},
}
# Folders (below /) that Debian keeps off PATH.
FOLDERS = "usr/lib/postgresql/*/bin"


def missing(parts: Collection[str]) -> list[str]:
    """A sentence for each thing that these parts need and that is not here."""
    programs = {"git": "git"}
    for part in parts:
        programs |= PROGRAMS.get(part, {})
    problems = [
        f"{name} is not installed (Debian: apt-get install {package})."
        for name, package in programs.items()
        if not found(name)
    ]
    if "gateway" in parts and platform.system() != "Linux":
        problems.append("The gateway's part reads CPU times from /proc, which only Linux has.")
    if "queue" in parts and not installable(*OTHERS):
        problems.append(f"The package index does not have all of these: {', '.join(OTHERS)}.")
    return problems


def found(program: str) -> bool:
    return bool(shutil.which(program)) or any(Path("/").glob(f"{FOLDERS}/{program}"))


def installable(*packages: str) -> bool:
    """Whether the package index has these packages and their dependencies. Takes about a second; installs nothing."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "packages.in"
        source.write_text("\n".join(packages))
        command: list[str | Path] = [UV, "pip", "compile", "--quiet", "--no-header", source]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
