"""A rendered project on its first day: it installs, its lint, types and tests are clean."""

import re
import shutil
import subprocess
from collections.abc import Callable

import pytest

from answers import OWN_TESTS
from conftest import Project, git


def test_its_format_and_lint_are_clean(installed: Project) -> None:
    installed.run("make", "lint")


def test_its_types_are_clean(installed: Project) -> None:
    installed.run("make", "types")


@pytest.mark.parametrize("name", OWN_TESTS)
def test_its_own_tests_are_green(
    name: str, own_tests: dict[str, Callable[[], str]], capsys: pytest.CaptureFixture[str]
) -> None:
    said = own_tests[name]()
    summary = re.search(r"^=+ (.* passed.*) =+$", said, re.M)
    assert summary
    with capsys.disabled():  # CI's log shows how long each took, and the chaos suite's figures
        print(f"\n{name}: {summary[1]}{said[summary.end() :]}")


def test_make_alone_lists_the_commands(installed: Project) -> None:
    listed = installed.run("make")
    assert all(f"make {target} " in listed for target in ("run", "test", "lint"))


def test_its_pre_commit_hooks_are_valid(installed: Project) -> None:
    installed.run(".venv/bin/pre-commit", "validate-config", ".pre-commit-config.yaml")


def test_its_hooks_pass_on_its_first_commit(installed: Project) -> None:
    installed.run(".venv/bin/pre-commit", "run", "--all-files")


REFUSED_BY_HOOKS = {
    "key.pem": f"-----BEGIN PRIVATE KEY-----\n{'A' * 64}\n",
    "key.yaml": f"key: |\n  -----BEGIN RSA PRIVATE KEY-----\n  Proc-Type: 4,ENCRYPTED\n\n  {'A' * 64}\n",
    "account.json": f'{{"private_key": "-----BEGIN PRIVATE KEY-----\\n{"A" * 64}"}}\n',
    "notes.md": "Ours.\n<<<<<<< yours\n",
    ".env.example.rej": "-a\n+b\n",
    ".env": "MODEL__API_KEY=x\n",
}


@pytest.mark.parametrize("name", REFUSED_BY_HOOKS)
def test_its_hooks_refuse(name: str, installed: Project) -> None:
    file = installed.path / name
    file.write_text(REFUSED_BY_HOOKS[name])
    git(installed.path, "add", "--force", name)
    hooks = [".venv/bin/pre-commit", "run", "--files", name]
    done = subprocess.run(hooks, cwd=installed.path, capture_output=True, text=True, check=False)
    git(installed.path, "rm", "--quiet", "--cached", name)
    file.unlink()
    assert done.returncode == 1, done.stdout


def test_a_package_is_added_and_a_dependency_without_a_hash_is_refused(installed: Project) -> None:
    copy = Project(installed.path.with_name("adding"), installed.environment)
    shutil.copytree(installed.path, copy.path, symlinks=True, ignore=shutil.ignore_patterns(".venv"))
    copy.run("make", "add", "PACKAGE=jinja2>=3")
    assert "\njinja2==" in (lock := (copy.path / "requirements.lock").read_text())
    copy.run(".venv/bin/python", "-c", "import jinja2")
    library = copy.path.with_name("library")
    (library / "src" / "ourlib").mkdir(parents=True)
    (library / "src" / "ourlib" / "__init__.py").touch()
    (library / "pyproject.toml").write_text('[project]\nname = "ourlib"\nversion = "1"\n')
    git(library, "init", "--quiet")
    git(library, "add", "--all")
    git(library, "commit", "--quiet", "--message", "feat: ours")
    command = ["make", "add", f"PACKAGE=ourlib @ git+file://{library}"]
    done = subprocess.run(command, cwd=copy.path, env=copy.environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "archive of a commit instead" in done.stderr
    assert (copy.path / "requirements.lock").read_text() == lock


def test_locking_again_needs_no_network(installed: Project) -> None:
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:1")
    Project(installed.path, installed.environment | nowhere).run("make", "lock")


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
