"""CPU time of the commands that people type, from a start with compiled byte code to the prompt."""

import json
from pathlib import Path
from statistics import median
from typing import Any

from sizes import Size
from timing import children_cpu, installed, row, run

COMMANDS = {"ask": ("ask", "What is the news?"), "status": ("status",), "config check": ("config", "check")}


def measure(template: Path, folder: Path, size: Size) -> dict[str, Any]:
    project = installed(template, folder, "gateway", "queue")
    said(project, "migrate")
    task = json.loads(said(project, "submit", "What is the news?").splitlines()[0])["id"]
    found: dict[str, list[float]] = {}
    for name, command in COMMANDS.items():
        arguments = (*command, task) if name == "status" else command
        said(project, *arguments)  # warms up: byte code, the files' cache
        seconds = found.setdefault(name, [])
        for _ in range(size.starts):
            before = children_cpu()
            said(project, *arguments)
            seconds.append(children_cpu() - before)
        row(f"`{name}`", f"{median(seconds):.2f} s CPU", f"{min(seconds):.2f} to {max(seconds):.2f}")
    return {"cpu_s": found}


def said(project: Path, *arguments: str) -> str:
    """The output of a command in the project's folder, with its defaults: the offline model, tasks in SQLite."""
    return run(project / ".venv" / "bin" / "my-agent", *arguments, cwd=project)
