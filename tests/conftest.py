"""Rendered projects, made once a session, and the environment of somebody who has just cloned."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from copier import run_copy

from answers import DEFAULT, FULL, Answers, label

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".venv" / "bin"
UV = TOOLS / "uv"

Render = Callable[[Answers], Path]


@pytest.fixture(scope="session")
def copier_template_paths() -> list[str]:
    """What pytest-copier takes over into its clean copy of the template."""
    return ["copier.yml", "extensions", "locks", "template"]


@pytest.fixture(scope="session")
def render(copier_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render a project with these answers, or give the one that was rendered with them before."""
    projects: dict[str, Path] = {}

    def rendered(answers: Answers) -> Path:
        key = repr(sorted(answers.items()))
        if key not in projects:
            project = tmp_path_factory.mktemp(label(answers) or "project") / "project"
            run_copy(str(copier_template), project, data=answers, defaults=True, unsafe=True, quiet=True)
            projects[key] = project
        return projects[key]

    return rendered


@pytest.fixture(scope="session")
def user_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user who has uv, and nothing of this test run."""
    tools = tmp_path_factory.mktemp("tools")
    (tools / "uv").symlink_to(UV)
    environment = clean_environment()
    return environment | {"PATH": f"{tools}{os.pathsep}{environment['PATH']}"}


def clean_environment() -> dict[str, str]:
    """This process' environment without what a test run, a virtual environment or make has put there."""
    ours = ("PYTEST_", "MAKE", "MFLAGS", "VIRTUAL_ENV", "GIT_", "UV", "PYTHONPATH", "COPIER_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours) and "__" not in name}
    # uv's settings that say where packages come from are the machine's; where it keeps them is shared between tests.
    kept = {name: value for name, value in os.environ.items() if name.startswith("UV_")}
    path = [folder for folder in environment["PATH"].split(os.pathsep) if Path(folder) != TOOLS]
    return environment | kept | {"PATH": os.pathsep.join(path)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What has to be alone on the machine comes first, what waits for `own_tests` comes last."""
    items.sort(key=lambda item: (not item.get_closest_marker("alone"), waits(item)))


def waits(item: pytest.Item) -> bool:
    return "own_tests" in getattr(item, "fixturenames", ())


@pytest.fixture(autouse=True)
def _beside(request: pytest.FixtureRequest) -> None:
    """Begins `own_tests`, if they are asked for, as soon as nothing has to be alone any more."""
    if not request.node.get_closest_marker("alone") and any(map(waits, request.session.items)):
        request.getfixturevalue("own_tests")


@pytest.fixture(scope="session")
def own_tests(render: Render, user_environment: dict[str, str]) -> Iterator[dict[str, Future[str]]]:
    """The tests of rendered projects, one after the other, beside all others here: they wait most of the time."""

    def tested(project: Project) -> str:
        project.run("make", "install")
        return project.run("make", "test")

    projects = {label(answers): under_git(render(answers), "tested", user_environment) for answers in (DEFAULT, FULL)}
    with ThreadPoolExecutor(1) as executor:
        yield {name: executor.submit(tested, project) for name, project in projects.items()}


@pytest.fixture(scope="session", params=[DEFAULT, FULL], ids=label)
def installed(request: pytest.FixtureRequest, render: Render, user_environment: dict[str, str]) -> "Project":
    """A rendered project, under git as its team would have it, with its environment installed by its own Makefile."""
    project = under_git(render(request.param), "installed", user_environment)
    project.run("make", "install")
    return project


class Project:
    """A project folder and the environment to run its commands in."""

    def __init__(self, path: Path, environment: dict[str, str]) -> None:
        self.path = path
        self.environment = environment

    def run(self, *command: str) -> str:
        """Run a command as its user would; its output becomes the failure's text."""
        done = subprocess.run(
            command,
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.fail(f"`{' '.join(command)}` exited {done.returncode}:\n{done.stdout[-12_000:]}", pytrace=False)
        return done.stdout


def under_git(rendered: Path, name: str, environment: dict[str, str]) -> Project:
    """A copy of a rendered project, committed as its team would."""
    project = Project(rendered.with_name(name), environment)
    shutil.copytree(rendered, project.path)
    project.run("git", "init", "--quiet")
    project.run("git", "add", "--all")
    project.run(
        "git", "-c", "user.name=T", "-c", "user.email=t@example.com", "commit", "--quiet", "--message", "feat: x"
    )
    return project
