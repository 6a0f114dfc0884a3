"""A rendered project on its first day: it installs, its lint, types and tests are clean."""

import shutil
from concurrent.futures import Future

import pytest

from answers import DEFAULT, FULL, Answers, label
from conftest import Project


def test_its_format_and_lint_are_clean(installed: Project) -> None:
    installed.run("make", "lint")


def test_its_types_are_clean(installed: Project) -> None:
    installed.run("make", "types")


@pytest.mark.parametrize("answers", [DEFAULT, FULL], ids=label)
def test_its_own_tests_are_green(answers: Answers, own_tests: dict[str, Future[str]]) -> None:
    assert " passed" in own_tests[label(answers)].result()


def test_make_alone_lists_the_commands(installed: Project) -> None:
    listed = installed.run("make")
    assert all(f"make {target} " in listed for target in ("run", "test", "lint"))


def test_its_pre_commit_hooks_are_valid(installed: Project) -> None:
    installed.run(".venv/bin/pre-commit", "validate-config", ".pre-commit-config.yaml")


def test_locking_again_changes_nothing(installed: Project) -> None:
    installed.run("make", "lock")
    assert installed.run("git", "status", "--porcelain", "--", "requirements.lock", "requirements-dev.lock") == ""


def test_its_pages_of_settings_match_its_settings(installed: Project) -> None:
    before = installed.path.joinpath(".env.example").read_text()
    installed.run("make", "config")
    assert installed.path.joinpath(".env.example").read_text() == before


def test_cleaning_removes_what_was_made(installed: Project) -> None:
    copy = Project(installed.path.with_name("cleaned"), installed.environment)
    shutil.copytree(installed.path, copy.path, symlinks=True)
    copy.run("make", "clean")
    left = copy.run("git", "status", "--porcelain", "--ignored").splitlines()
    assert [line for line in left if line.startswith("!!") and "__pycache__" not in line] == []
