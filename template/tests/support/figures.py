"""The figures of the chaos suite: a table on the terminal, and the same in chaos-report.md.

A pytest plugin (see conftest.py). A test that takes the fixture `row` becomes a line of the table: its name is the
scenario, the first paragraph of its docstring what must hold, and `row.shows(…)` adds what was measured.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from support.processes import Upstream

HEAD = ("scenario", "must hold", "figures", "upstream attempts", "seconds", "held")
FILE = "chaos-report.md"
RULE = "|" + "---|" * len(HEAD)


class Row:
    """The figures of one scenario."""

    def __init__(self) -> None:
        self.figures: list[str] = []
        self.attempts: int | None = None  # model requests; counted at the end unless the test sets it

    def shows(self, **figures: object) -> None:
        """Adds figures; an underscore in a name stands for a space."""
        for name, value in figures.items():
            shown = f"{value:.3g}" if isinstance(value, float) else value
            self.figures.append(f"{name.replace('_', ' ')} {shown}")


class Report:
    """The table, written line by line, so that an interrupted suite leaves its results."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []

    def add(self, *cells: object) -> None:
        if not self.lines:
            self.lines += [_line(HEAD), RULE]
            self.path.write_text("# Chaos report\n\nWritten by `make chaos`.\n\n" + "\n".join(self.lines) + "\n")
        self.lines.append(_line(cells))
        with self.path.open("a") as file:
            file.write(self.lines[-1] + "\n")


def _line(cells: tuple[object, ...]) -> str:
    return "| " + " | ".join(" ".join(str(cell).replace("|", "\\|").split()) for cell in cells) + " |"


REPORT = pytest.StashKey[Report]()
OUTCOME = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORT] = Report(config.rootpath / FILE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[OUTCOME] = report.outcome
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash[REPORT].lines:
        terminalreporter.section("chaos")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def row(request: pytest.FixtureRequest, upstream: Upstream) -> Iterator[Row]:
    """This test's line in the table."""
    row, started = Row(), time.monotonic()
    yield row
    name = request.node.name.removeprefix("test_").replace("_", " ")
    promise = (inspect.getdoc(request.node.obj) or "").partition("\n\n")[0]
    figures = ", ".join(row.figures)
    attempts = upstream.attempts(None) if row.attempts is None else row.attempts
    held = {"passed": "yes"}.get(request.node.stash.get(OUTCOME, "error"), "NO")
    request.config.stash[REPORT].add(name, promise, figures, attempts, round(time.monotonic() - started, 1), held)
