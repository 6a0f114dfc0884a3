"""What the parts need of this machine. `make bench` checks all of it before the first measurement."""

import platform
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path

from contenders import OTHERS
from endpoints import PACKAGES
from sizes import Size
from timing import UV

# Programs by part, each with the Debian package that has it; every part needs git.
PROGRAMS = {
    "first_answer": {"make": "make"},
    "cold_start": {"make": "make"},
    "gateway": {"wrk": "wrk", "redis-server": "redis-server"},
    "soak": {"wrk": "wrk"},
    "growth": {"wrk": "wrk"},
    "replicas": {"wrk": "wrk", "redis-server": "redis-server", "redis-cli": "redis-tools", "haproxy": "haproxy"},
    "queue": {"redis-server": "redis-server", "initdb": "postgresql"},
}
# Parts that read CPU times and memory from /proc.
LINUX_ONLY = {"gateway", "soak", "streams", "growth", "replicas"}
# Folders (below /) that Debian keeps off PATH.
FOLDERS = "usr/lib/postgresql/*/bin"


def missing(parts: Collection[str], size: Size) -> list[str]:
    """A sentence for each thing that these parts of this size need and that is not here."""
    programs = {"git": "git"}
    for part in parts:
        programs |= PROGRAMS.get(part, {})
    problems = [
        f"{name} is not installed (Debian: apt-get install {package})."
        for name, package in programs.items()
        if not found(name)
    ]
    if LINUX_ONLY & set(parts) and platform.system() != "Linux":
        problems.append("CPU times and memory are read from /proc, which only Linux has.")
    wanted = [OTHERS] * ("queue" in parts) + [*PACKAGES.values()] * ("gateway" in parts) if size.peers else []
    problems += [
        f"The package index does not have all of these: {', '.join(packages)}."
        for packages in wanted
        if not installable(*packages)
    ]
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
