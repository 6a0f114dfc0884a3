"""Services of any version, their updates as a user runs them, and what there is afterwards."""

import subprocess
from pathlib import Path

import yaml
from copier import run_copy

from answers import Answers
from conftest import TOOLS, clean_environment, git


def made(template: Path, version: str, answers: Answers, folder: Path) -> Path:
    """A service as it was made with a version of the template, under git."""
    project = folder / "my-agent"
    run_copy(str(template), project, answers, vcs_ref=version, defaults=True, unsafe=True, quiet=True)
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "feat: start")
    return project


def updated(project: Path, *options: str) -> str:
    """`copier update` to the newest commit, and what it says on standard output."""
    command = [str(TOOLS / "copier"), "update", "--trust", "--defaults", *(options or ("--vcs-ref", "HEAD"))]
    environment = clean_environment()
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def made_afresh(template: Path, project: Path, folder: Path) -> Path:
    """The newest version with the answers of a service."""
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text())
    given = {name: answer for name, answer in answers.items() if not name.startswith("_")}
    fresh = folder / "fresh" / "my-agent"
    run_copy(str(template), fresh, given, vcs_ref="HEAD", defaults=True, unsafe=True, quiet=True)
    return fresh


def files(project: Path) -> dict[str, str]:
    """The text of every file that is not ignored, by path."""
    listed = git(project, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate", "--", ".")
    paths = [path for path in listed.split("\0") if path and (project / path).is_file()]
    return {path: (project / path).read_text() for path in paths}


def tree(folder: Path) -> dict[str, str]:
    """The text of every file in a folder that is under no version control, by path."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
