"""Clocks, subprocesses and rendered projects for the measurements."""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

COPIER = ("copier", "copier-template-extensions")
UV = Path(sys.executable).with_name("uv")


FAILURE_BYTES = 2_000  # of a log, shown when a program fails

rows: list[tuple[str, str, str]] = []  # all that was said so far


def row(what: str, figure: str, note: str = "") -> None:
    rows.append((what, figure, note))
    print(f"  {what:<52} {figure:>12}  {note}".rstrip(), flush=True)


def run(*command: str | Path, cwd: Path | None = None, **variables: str) -> str:
    """Runs a command quietly and returns its output; when it fails, the error has what it said."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | variables, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout.decode()}{done.stderr.decode()}")
    return done.stdout.decode()


def timed(prepare: Callable[[], object], command: list[str | Path], times: int = 5) -> tuple[float, float]:
    """Medians of wall and CPU seconds of a command, after one run that fills caches."""
    walls, processors = [], []
    for _ in range(times + 1):
        prepare()
        before, started = children_cpu(), time.perf_counter()
        run(*command)
        walls.append(time.perf_counter() - started)
        processors.append(children_cpu() - before)
    return statistics.median(walls[1:]), statistics.median(processors[1:])


def children_cpu() -> float:
    """CPU seconds that ended children of this process have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def environment(folder: Path, *packages: str | Path) -> Path:
    """A virtual environment with compiled byte code; gives its folder of commands."""
    run(UV, "venv", "--quiet", "--python", sys.executable, folder)
    run(UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", folder, *packages)
    return folder / "bin"


def render(template: Path, project: Path, *variants: str) -> None:
    """Renders a project with these variants, and defaults for the rest. Its package is `my_agent`."""
    folder = project.parent / "copier-of-projects"
    if not folder.exists():
        environment(folder, "--constraint", template / "requirements.lock", *COPIER)
    options = ["--trust", "--vcs-ref", "HEAD", "--defaults", "--quiet"]
    options += ["--data", "project_name=My Agent", "--data", f"variants={json.dumps(variants)}"]
    run(folder / "bin" / "copier", "copy", *options, template, project)


def installed(template: Path, folder: Path, *variants: str) -> Path:
    """A project with these variants and its environment, made once for all parts of a run."""
    project = folder / f"project-{'-'.join(variants)}"
    if not project.exists():
        render(template, project, *variants)
        environment(project / ".venv", "--constraint", project / "requirements.lock", project)
    return project
