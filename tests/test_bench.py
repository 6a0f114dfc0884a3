"""What `make bench` needs is there before it measures: programs on this machine, names in the rendered projects."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import timing

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
    for program in ("make", "redis-server"):
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
