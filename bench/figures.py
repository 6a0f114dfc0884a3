"""Draws `figures.md` and its plots from the JSON files of the parts (`python bench/figures.py FOLDER`)."""

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import plots
from goals import Goal, goals

TITLES = {
    "gateway": "One gateway process beside others",
    "soak": "Minutes of load",
    "streams": "Streams",
    "growth": "Growth",
    "queue": "The queue beside others",
    "replicas": "Replicas",
    "rendering": "Rendering and updating",
    "first_answer": "The first answer",
    "cold_start": "Cold starts on AWS Lambda",
    "commands": "Commands",
    "size": "Size",
}


SHOWN = (
    *("fastapi", "starlette", "uvicorn", "httpx", "httpx2", "openai", "pydantic-ai-slim", "langgraph", "langchain"),
    *("langchain-openai", "openai-agents", "litellm"),
)


def draw(folder: Path) -> None:
    """Writes `figures.md` and the SVG files beside the JSON files."""
    parts = {name: json.loads(path.read_text()) for name in TITLES if (path := folder / f"{name}.json").exists()}
    text = [
        "# Measured figures",
        "",
        "`make bench` writes this page; [speed](../speed.md) says what the figures mean.",
        "",
    ]
    if found := list(goals(parts)):
        text += ["## Goals", "", "| what | measured | spread | goal | met |", "|---|---|---|---|---|"]
        for one in found:
            text.append(row_of(one))
        text += [""]
    for name, part in parts.items():
        text += [f"## {TITLES[name]}", "", conditions(name, part), ""]
        text += [f"- {one['name']}: {versions(one['versions'])}" for one in part.get("endpoints", {}).values()]
        text += [""] if "endpoints" in part else []
        text += [f"![{title}]({file})\n" for title, file in drawn(folder, name, part)]
        text += [
            "| | | |",
            "|---|---|---|",
            *(f"| {' | '.join(cell(one) for one in row)} |" for row in part["rows"]),
            "",
        ]
    (folder / "figures.md").write_text("\n".join(text).rstrip() + "\n")


def row_of(goal: Goal) -> str:
    number = plots.number_of
    spread = f"{number(goal.least)} to {number(goal.most)}" if goal.least != goal.most else ""
    bound = f"at {'most' if goal.at_most else 'least'} {goal.goal:g}{goal.unit}"
    met = "yes" if goal.met else "**no**"
    return f"| {goal.what} | {number(goal.value)}{goal.unit} | {spread} | {bound} | {met} |"


def conditions(name: str, part: dict[str, Any]) -> str:
    command = f"`make bench ONLY={name} SIZE={part['size']}`"
    return f"{command}, {part['date']}, Python {part['python']}, {part['machine']}."


def versions(installed: dict[str, str]) -> str:
    """Those of the packages that make the difference."""
    return ", ".join(f"{name} {installed[name]}" for name in SHOWN if name in installed)


def cell(text: str) -> str:
    return text.strip().replace("|", "\\|").replace("\n", " ")


def drawn(folder: Path, name: str, part: dict[str, Any]) -> list[tuple[str, str]]:
    """(title, file) of the plots of a part."""
    made = []
    for slug, title, unit, values in [*compared(part)] if name == "gateway" else []:
        plots.bars(folder / f"{slug}.svg", title, values, unit, "ours")
        made.append((title, f"{slug}.svg"))
    for slug, plot in part.get("lines", {}).items():
        series = {one: [(x, y) for x, y in points] for one, points in plot["series"].items()}
        plots.lines(folder / f"{slug}.svg", plot["title"], plot["across"], plot["unit"], series)
        made.append((plot["title"], f"{slug}.svg"))
    return made


def compared(part: dict[str, Any]) -> list[tuple[str, str, str, list[tuple[str, float, float, float]]]]:
    """Bars of the endpoints: (file, title, unit, bars)."""
    endpoints = part["endpoints"].values()
    levels = list(part["endpoints"]["gateway"]["levels"])
    found = []
    for figure, title, unit in (
        ("per_second", "Requests a second", "/s"),
        ("cpu_ms", "CPU a request", "ms"),
        ("p99_ms", "99th percentile", "ms"),
    ):
        for level in levels if figure != "cpu_ms" else levels[len(levels) // 2 :][:1]:
            values = [(one["name"], *spread(one["levels"][level][figure])) for one in endpoints]
            found.append((f"{figure.removesuffix('_ms')}-{level}", f"{title}, {level} connections", unit, values))
    if all("rest_mib" in one for one in endpoints):
        memory = [(one["name"], one["loaded_mib"], min(one["rest_mib"]), one["loaded_mib"]) for one in endpoints]
        found.append(("memory", "Memory after load (line: from rest)", "MiB", memory))
        ready = [(one["name"], *spread(one["ready_cpu_s"])) for one in endpoints]
        found.append(("ready", "CPU seconds until it answers", "s", ready))
    return found


def spread(values: list[float]) -> tuple[float, float, float]:
    return median(values), min(values), max(values)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
