"""Fixtures: projects, rendered once per session, and the clean environment of a user."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import pytest
from copier import run_copy
from hypothesis import settings

from answers import DEFAULT, FULL, OWN_TESTS, WAITING, Answers, label

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".venv" / "bin"
UV = TOOLS / "uv"

Render = Callable[[Answers], Path]

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")


@pytest.fixture(scope="session")
def copier_template_paths() -> list[str]:
    """The paths that pytest-copier copies into its clean copy of the template."""
    return ["copier.yml", "extensions", "locks", "template"]


@pytest.fixture(scope="session")
def render(copier_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render a project with these answers; the same answers give the same project."""
    projects: dict[str, Path] = {}
    one_at_a_time = Lock()

    def rendered(answers: Answers) -> Path:
        key = repr(sorted(answers.items()))
        with one_at_a_time:
            if key not in projects:
                project = tmp_path_factory.mktemp(label(answers) or "project") / "my-agent"
                run_copy(str(copier_template), project, data=answers, defaults=True, unsafe=True, quiet=True)
                projects[key] = project
        return projects[key]

    return rendered


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository with its history; what is not committed yet is its newest commit."""
    clone = tmp_path_factory.mktemp("history") / "agent-template"
    git(ROOT, "clone", "--quiet", "--no-hardlinks", ROOT, clone)
    changed = git(ROOT, "ls-files", "--cached", "--others", "--modified", "--exclude-standard", "-z").split("\0")
    for name in filter(None, changed):
        (clone / name).unlink(missing_ok=True)
        if (ROOT / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "feat: now")
    return clone


@pytest.fixture(scope="session")
def user_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user with uv on PATH, without traces of this test run."""
    tools = tmp_path_factory.mktemp("tools")
    (tools / "uv").symlink_to(UV)
    environment = clean_environment()
    return environment | {"PATH": f"{tools}{os.pathsep}{environment['PATH']}"}


def clean_environment() -> dict[str, str]:
    """This process' environment without the variables of a test run, a virtual environment or make."""
    ours = ("PYTEST_", "MAKE", "MFLAGS", "VIRTUAL_ENV", "GIT_", "UV", "PYTHONPATH", "COPIER_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours) and "__" not in name}
    # Keep uv's settings: the package index is the machine's, and all tests share the cache.
    kept = {name: value for name, value in os.environ.items() if name.startswith("UV_")}
    path = [folder for folder in environment["PATH"].split(os.pathsep) if Path(folder) != TOOLS]
    return environment | kept | {"PATH": os.pathsep.join(path)}


def git(folder: Path, *arguments: str | Path) -> str:
    """Run git as nobody in particular."""
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"git {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}"
    return done.stdout


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that must run alone come first; tests that wait for `own_tests` come last."""
    items.sort(key=lambda item: (not item.get_closest_marker("alone"), waits(item)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Says under a failed test how to make its project again."""
    report = yield
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if report.failed and isinstance(answers := parameters.get("answers"), dict):
        data = " ".join(f"--data {shlex.quote(f'{name}={json.dumps(answer)}')}" for name, answer in answers.items())
        command = f"copier copy --trust --defaults --vcs-ref HEAD {data} {ROOT} my-agent"
        report.sections.append(("the same project", f"{command}\n.venv/bin/pytest '{item.nodeid}'"))
    return report


def waits(item: pytest.Item) -> bool:
    return "own_tests" in getattr(item, "fixturenames", ())


@pytest.fixture(autouse=True)
def _beside(request: pytest.FixtureRequest) -> None:
    """Starts `own_tests`, if a test needs them, after the last test that must run alone."""
    if not request.node.get_closest_marker("alone") and any(map(waits, request.session.items)):
        request.getfixturevalue("own_tests")


@pytest.fixture(scope="session")
def own_tests(render: Render, user_environment: dict[str, str]) -> Iterator[dict[str, Callable[[], str]]]:
    """What each rendered project's own tests say. They run in two lanes; the tests beside them leave them the cores."""

    def tested(name: str) -> str:
        answers, command = OWN_TESTS[name]
        project = under_git(render(answers), f"tested-{name}", user_environment)
        project.run("make", "install")
        said, report = project.run(*command), project.path / "chaos-report.md"
        return said + (report.read_text() if report.exists() else "")

    with ThreadPoolExecutor(1) as waiting, ThreadPoolExecutor(1) as working:
        own: dict[str, Callable[[], str]] = {
            name: (waiting if name in WAITING else working).submit(tested, name).result for name in OWN_TESTS
        }
        if sys.platform == "linux":  # there it is of one thread, and of the processes that this thread starts
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)
        yield own


@pytest.fixture(scope="session", params=[DEFAULT, FULL], ids=label)
def installed(request: pytest.FixtureRequest, render: Render, user_environment: dict[str, str]) -> "Project":
    """A rendered project under git, with its environment installed by its own Makefile."""
    project = under_git(render(request.param), "installed", user_environment)
    project.run("make", "install")
    return project


class Project:
    """A project folder and the environment to run its commands in."""

    def __init__(self, path: Path, environment: dict[str, str]) -> None:
        self.path = path
        self.environment = environment

    def run(self, *command: str) -> str:
        """Run a command as a user would; if it fails, its output is the failure's text."""
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
    """A copy of a rendered project, committed to git."""
    project = Project(rendered.with_name(name), environment)
    shutil.copytree(rendered, project.path)
    git(project.path, "init", "--quiet")
    git(project.path, "add", "--all")
    git(project.path, "commit", "--quiet", "--message", "feat: x")
    return project
