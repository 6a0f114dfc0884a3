"""`make bench` finds what it needs before it measures, and a smoke of its parts measures and draws."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import figures
import needs
import pytest
import timing
from goals import goals
from sizes import SIZES

from conftest import ROOT

BENCH = ROOT / "bench"


def test_missing_programs_are_named_before_the_first_measurement(tmp_path: Path) -> None:
    git = shutil.which("git")
    assert git
    (tmp_path / "git").symlink_to(git)
    done = subprocess.run(
        [sys.executable, "run.py"],
        cwd=BENCH,
        env={**os.environ, "PATH": str(tmp_path), "ONLY": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    for program in ("make", "redis-server", "wrk"):
        assert f"{program} is not installed (Debian: apt-get install {program})." in done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as the measurements render it."""
    project = tmp_path_factory.mktemp("bench") / "any-name"
    timing.render(ROOT, project, "gateway", "queue")
    return project


@pytest.mark.parametrize("script", sorted(BENCH.rglob("*.py")), ids=lambda script: script.name)
def test_it_imports_only_names_that_a_project_has(script: Path, project: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text())):
        package, _, rest = (node.module or "").partition(".") if isinstance(node, ast.ImportFrom) else ("", "", "")
        if isinstance(node, ast.ImportFrom) and package in ("my_agent", "support"):
            folder = project / "src" / package if package == "my_agent" else project / "tests" / package
            module = folder.joinpath(*rest.split(".")).with_suffix(".py")
            for name in (alias.name for alias in node.names):
                assert in_module(name, module) or (module.with_suffix("") / f"{name}.py").exists(), (node.module, name)


def in_module(name: str, module: Path) -> bool:
    """Whether the module defines this name at its top."""
    if not module.exists():
        return False
    names = set()
    for node in ast.parse(module.read_text()).body:
        names |= {getattr(node, "name", "")}
        names |= {ast.unparse(target) for target in getattr(node, "targets", [getattr(node, "target", node)])}
    return name in names


# The parts that start the service: a few seconds each, without the other products. Other tests render, update and
# package, as the rest of the parts do.
SMOKED = ("gateway", "soak", "streams", "growth", "replicas", "queue", "commands")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what a smoke of these parts has written."""
    if problems := needs.missing(SMOKED, SIZES["smoke"]):
        pytest.skip(" ".join(problems))
    out = tmp_path_factory.mktemp("figures")
    variables = {"ONLY": ",".join(SMOKED), "SIZE": "smoke", "OUT": str(out)}
    done = subprocess.run(
        [sys.executable, "run.py"],
        cwd=BENCH,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_a_smoke_of_each_part_measures(measured: Path) -> None:
    parts = {part: json.loads((measured / f"{part}.json").read_text()) for part in SMOKED}
    endpoints = parts["gateway"]["endpoints"]
    assert {"pydantic-ai", "gateway", "cached"} == set(endpoints)
    for one in endpoints.values():
        [level] = one["levels"].values()
        assert level["failed"] == [0]
        assert min(level["per_second"]) > 0
        assert min(one["rest_mib"]) > 30
    assert len(list(goals(parts))) >= 7


def test_the_page_shows_every_part_and_every_plot(measured: Path) -> None:
    page = (measured / "figures.md").read_text()
    for part in SMOKED:
        assert f"`make bench ONLY={part} SIZE=smoke`" in page
    plots = list(measured.glob("*.svg"))
    assert len(plots) >= 4
    for plot in plots:
        assert f"({plot.name})" in page
        ElementTree.parse(plot)


def test_the_figures_of_the_docs_are_drawn_as_today(tmp_path: Path) -> None:
    kept = ROOT / "docs" / "explanation" / "figures"
    for file in kept.glob("*.json"):
        shutil.copy(file, tmp_path)
    figures.draw(tmp_path)
    for drawn in tmp_path.glob("*.svg"):
        assert (kept / drawn.name).read_text() == drawn.read_text(), f"`python bench/figures.py {kept}` draws it anew"
