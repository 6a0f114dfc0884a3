"""The commands of the how-to pages do what the pages say."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, TOOLS, clean_environment, git
from team import Team
from updating import files, made, updated


def commands(page: str) -> list[str]:
    """The shell blocks of a page."""
    return re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "how-to" / page).read_text(), re.S)


@pytest.fixture
def team(history: Path, tmp_path: Path) -> Team:
    return Team(made(history, "HEAD", {}, tmp_path))


def run(script: str, folder: Path) -> None:
    """Run a block as a user would, who has an identity in git and `make format` as ruff alone."""
    identity = {"GIT_AUTHOR_NAME": "T", "GIT_COMMITTER_NAME": "T"}
    identity |= {"GIT_AUTHOR_EMAIL": "t@example.com", "GIT_COMMITTER_EMAIL": "t@example.com"}
    environment = clean_environment() | identity
    environment["PATH"] = f"{TOOLS}{os.pathsep}{environment['PATH']}"
    script = script.replace("make format\n", "ruff check --fix --exit-zero --quiet && ruff format --quiet\n")
    done = subprocess.run(
        ["bash", "-ec", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_renamed_service_has_no_trace_of_its_old_name_and_is_updated_as_before(team: Team) -> None:
    team.writes("src/my_agent/agent/instructions.md", "Be kind.")
    team.adds("src/my_agent/agent/ours.py", "from my_agent.toolkit import Deps as Deps\n")
    team.commits()
    [block] = commands("change-the-name.md")
    run(block, team.project)
    now = files(team.project)
    assert [path for path, text in now.items() if re.search("my.agent", path + text)] == []
    assert "Be kind." in now["src/invoice_agent/agent/instructions.md"]
    assert "Nothing has changed" in updated(team.project)
    updated(team.project, "--vcs-ref", "HEAD", "--data", "ci=none")
    assert files(team.project)["src/invoice_agent/agent/ours.py"] == "from invoice_agent.toolkit import Deps as Deps\n"


def test_another_name_is_refused_with_the_page_that_helps(team: Team) -> None:
    command = [str(TOOLS / "copier"), "update", "--trust", "--defaults", "--vcs-ref=HEAD", "--data=service_name=other"]
    done = subprocess.run(
        command, cwd=team.project, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "docs/how-to/change-the-name.md" in done.stdout + done.stderr
    assert git(team.project, "status", "--porcelain") == ""


def test_an_answer_is_changed_at_the_version_that_a_service_is_at(team: Team) -> None:
    team.writes("README.md", "Ours.")
    team.commits()
    assert "copier update --data ci=gitlab\n" in commands("change-an-answer.md")
    said = updated(team.project, "--vcs-ref=:current:", "--data", "ci=gitlab")
    now = files(team.project)
    assert ".gitlab-ci.yml" in now
    assert not [path for path in now if path.startswith(".github/")]
    assert now["README.md"].endswith("\nOurs.\n")
    assert said.endswith("Next: make check\n")


def test_nothing_but_pages_names_the_template_in_a_service_that_has_left_it(team: Team) -> None:
    [block] = commands("leave.md")
    run(block, team.project)
    assert git(team.project, "status", "--porcelain") == ""
    named = {path for path, text in files(team.project).items() if "copier" in path + text}
    assert {path for path in named if not path.endswith(".md")} <= {"tests/ship/test_delivery.py"}
    run("git revert --no-edit HEAD", team.project)
    assert "Nothing has changed" in updated(team.project)


def test_every_page_is_linked_from_the_first_one() -> None:
    first = (ROOT / "docs" / "how-to" / "use.md").read_text()
    pages = {page.name for page in (ROOT / "docs" / "how-to").glob("*.md")} - {"use.md", "maintain.md"}
    assert {page for page in pages if f"]({page})" not in first} == set()
