"""Every pair of answers makes a project that lints clean, and that imports with what its own lock installs."""

import subprocess
from pathlib import Path

import pytest

from answers import MATRIX, Answers, label, possible
from conftest import TOOLS, UV, Render, clean_environment
from pairwise import pairwise

every_choice = pytest.mark.parametrize("answers", MATRIX, ids=label)
IMPORT_ALL = """
import importlib, importlib.util, pkgutil, sys
package = importlib.import_module(sys.argv[1])
# Imported where the provider's SDK is installed.
names = ("compatible", "plain_bodies", "responses")
needs = dict.fromkeys((f"{package.__name__}.models.{name}" for name in names), "openai")
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if importlib.util.find_spec(needs.get(module.name, "sys")):
        importlib.import_module(module.name)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One environment, which each project in turn makes its own: only what differs is installed."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([UV, "venv", "--quiet", folder], check=True)
    return folder


@every_choice
def test_it_lints_clean(answers: Answers, render: Render) -> None:
    for check in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [TOOLS / "ruff", *check, "--no-cache", render(answers)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@every_choice
def test_every_module_imports_with_what_is_locked(
    answers: Answers, render: Render, environment: Path, tmp_path: Path
) -> None:
    project = render(answers)
    lock = project / "requirements.lock"
    sync: list[str | Path] = [UV, "pip", "sync", "--quiet", "--python", environment, "--require-hashes", lock]
    subprocess.run(sync, check=True)
    [package] = (project / "src").iterdir()
    name = package.name.replace("_", "-")
    metadata = tmp_path / f"{package.name}-0.1.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 0.1.0\nSummary: It.\n")
    done = subprocess.run(
        [environment / "bin" / "python", "-c", IMPORT_ALL, package.name],
        env=clean_environment() | {"PYTHONPATH": f"{project / 'src'}:{tmp_path}", "AWS_REGION": "eu-central-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_pairwise_has_every_possible_pair() -> None:
    options = {"a": [1, 2, 3], "b": [1, 2], "c": [1, 2, 3, 4]}
    rows = list(pairwise(options, lambda row: row.get("a") != row.get("c", 0)))
    for one, other in (("a", "b"), ("a", "c"), ("b", "c")):
        wanted = {(x, y) for x in options[one] for y in options[other] if (one, other) != ("a", "c") or x != y}
        assert {(row[one], row[other]) for row in rows} == wanted


def test_the_matrix_is_of_a_size_that_ci_bears() -> None:
    assert 30 <= len(MATRIX) <= 60
    assert all(map(possible, MATRIX))
