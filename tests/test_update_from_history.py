"""A service of any earlier version arrives at this one: its team loses no line, and no file comes back."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from ancient import with_ancient_past
from answers import Answers
from conftest import ROOT, Project, git
from team import Team
from updating import files, made, made_afresh, tree, updated


def added(pattern: str) -> str:
    """The commit that has added a file of the template; none in a clone without history."""
    log = git(ROOT, "log", "--diff-filter=A", "--format=%h", "--reverse", "--", f":(glob)template/{pattern}")
    return log.split("\n")[0]


# Tests of the code that a team works in. All other files are as in a new service, whose tests run elsewhere.
WORKED_IN = ("agent", "config", "toolkit", "unit")
EVERY_DOOR: Answers = {"variants": ["gateway", "queue", "serverless"], "ci": "gitlab", "license": "MIT"}
# From the first commit of each door, from the last one before the package had rooms, and from each release. One is
# made up: a clone without history has it too.
ANCIENT = "made up"
STARTS: dict[str, tuple[str, Answers]] = {
    "first gateway": (added("src/*/gateway/__init__.py"), {}),
    "first queue": (added("src/*/queue/worker.py*"), {"variants": ["queue"]}),
    "first serverless": (added("tests/serverless/*"), {"variants": ["serverless"], "secrets_source": "aws"}),
    "before rooms": (f"{added('src/*/toolkit/__init__.py*')}~1", EVERY_DOOR),
    "ancient": (ANCIENT, {"variants": ["gateway", "queue"]}),
    **{tag: (tag, EVERY_DOOR) for tag in git(ROOT, "tag", "--list", "v*").split()},
}


@dataclass
class Updated:
    """A service after a month of its team's work and an update."""

    team: Team
    project: Path
    said: str
    fresh: Path


@pytest.fixture(scope="module", params=STARTS)
def service(request: pytest.FixtureRequest, history: Path, tmp_path_factory: pytest.TempPathFactory) -> Updated:
    version, answers = STARTS[request.param]
    if version.strip("~1") == "":
        pytest.skip("this clone has no history")
    folder = tmp_path_factory.mktemp("updated")
    template = history
    if version == ANCIENT:
        template, version = with_ancient_past(history, folder)
    project = made(template, version, answers, folder)
    team = Team(project)
    team.works()
    said = updated(project)
    return Updated(team, project, said, made_afresh(template, project, folder))


def test_every_line_of_the_team_is_there(service: Updated) -> None:
    now = files(service.project)
    assert [path for path, text in now.items() if re.search("^<<<<<<<", text, re.M)] == []
    assert "CONFLICT" not in service.said
    found = {line: [Path(path).name for path, text in now.items() if line in text] for line in service.team.written}
    assert found == {line: [name] for line, name in service.team.written.items()}
    assert [path for path in service.team.added if path not in now] == []


def test_nothing_that_was_deleted_comes_back_and_nothing_is_left_over(service: Updated) -> None:
    now, fresh = set(files(service.project)), set(tree(service.fresh))
    assert now - fresh == set(service.team.added)
    # Nor does what is new come into a folder that is the team's.
    missing = [path for path in fresh - now if not re.match("src/my_agent/agent/|tests/agent/", path)]
    assert {Path(path).name for path in missing} <= {Path(path).name for path in service.team.deleted}
    assert [path for path in service.team.deleted if path in now] == []


def test_every_other_file_is_as_in_a_new_service(service: Updated) -> None:
    now, fresh = files(service.project), tree(service.fresh)
    touched = set(service.team.written.values()) | {"requirements.lock", "requirements-dev.lock"}
    differing = [path for path in now if path in fresh and now[path] != fresh[path]]
    assert [path for path in differing if Path(path).name not in touched and path not in service.said] == []


def test_its_lock_has_the_new_pins_and_the_team_s_package(service: Updated) -> None:
    lock, fresh = ((folder / "requirements.lock").read_text() for folder in (service.project, service.fresh))
    assert set(fresh.splitlines()) <= set(lock.splitlines())
    assert {line.split("==")[0] for line in lock.splitlines() if "==" in line and line not in fresh} == {
        "jinja2",
        "markupsafe",
    }


def test_what_the_update_asks_for_makes_it_green(service: Updated, user_environment: dict[str, str]) -> None:
    project = Project(service.project, user_environment)
    if newer := re.search(r"(git restore --source=\w+ --) …\n((?:  .*\n)+)", service.said):
        project.run(*newer[1].split(), *newer[2].split())
    [command] = re.findall(r"^Next: (make .*)$", service.said, re.M)
    assert command.split()[-1] == "check"
    locks = [(service.project / name).read_text() for name in ("requirements.lock", "requirements-dev.lock")]
    project.run(*command.split()[:-1], "lint", "types")
    assert locks == [(service.project / name).read_text() for name in ("requirements.lock", "requirements-dev.lock")]
    units = [path for folder in WORKED_IN if (path := service.project / "tests" / folder).exists()]
    project.run(".venv/bin/pytest", "--quiet", *map(str, units))


def test_a_second_update_changes_nothing(service: Updated) -> None:
    git(service.project, "add", "--all")
    git(service.project, "commit", "--quiet", "--message", "feat: update")
    assert "Nothing has changed" in updated(service.project)
    assert git(service.project, "status", "--porcelain") == ""
