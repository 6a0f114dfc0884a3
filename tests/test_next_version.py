"""The day after: the template adds a question, moves, drops and changes files, and every service follows unharmed."""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import TOOLS, clean_environment, git
from team import Team
from updating import files, made, updated

QUESTION = """
favourite_colour:
  type: str
  help: Colour of the service
  ask: false
  choices: [red, blue]
  default: blue

"""
FILES = """
_files:
  "favourite_colour == 'blue'":
    - docs/blue.md
  "favourite_colour == 'red'":
    - docs/red.md
"""
NEWS = """# Changelog

## [1.1.0] - 2027-01-01

### What you must do

- Paint the service.

## [1.0.1] - 2026-12-24

### Fixed

- Nothing that asks anything.

## [1.0.0] - 2026-12-01

### What you must do

- Nothing any more.
"""


@pytest.fixture(scope="module")
def template(history: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two releases: this version as 1.0.0, and one that changes a bit of everything as 1.1.0."""
    template = tmp_path_factory.mktemp("next") / "agent-template"
    git(history.parent, "clone", "--quiet", history, template)
    for tag in git(template, "tag", "--list").split():
        git(template, "tag", "--delete", tag)
    (template / "CHANGELOG.md").write_text(f"# Changelog\n\n{NEWS[NEWS.index('## [1.0.0]') :]}")
    git(template, "commit", "--quiet", "--all", "--message", "docs: changelog")
    git(template, "tag", "v1.0.0")
    package = "template/src/[[ package_name ]]"
    config = (template / "copier.yml").read_text()
    config = config.replace("\n_files:\n", FILES).replace("\nproject_name:\n", f"{QUESTION}project_name:\n")
    (template / "copier.yml").write_text(config)
    (template / "template/docs/blue.md").write_text("Blue.\n")
    (template / "template/docs/red.md").write_text("Red.\n")
    git(template, "mv", "template/docs/scale.md.jinja", "template/docs/growth.md.jinja")
    git(template, "mv", "template/docs/observe.md.jinja", "template/docs/watch.md.jinja")
    git(template, "mv", f"{package}/health.py", f"{package}/vitals.py")
    git(template, "rm", "--quiet", "template/docs/cost.md.jinja", "template/docs/security.md.jinja")
    for path, old, new in (
        ("template/docs/growth.md.jinja", "# ", "# Growth: "),
        ("template/Dockerfile.jinja", "STOPSIGNAL SIGTERM", "STOPSIGNAL SIGINT"),
        ("template/docs/runbook.md.jinja", "# Runbook", "# Emergency handbook"),
        ("template/AGENTS.md.jinja", "# ", "# New: "),
        (f"{package}/agent/tools.py", "The agent's tools.", "New tools."),
        ("locks/base.txt", "\ntyper==", "\ntyper==99."),
    ):
        file = template / path
        assert old in file.read_text(), path
        file.write_text(file.read_text().replace(old, new, 1))
    (template / package / "agent" / "new_example.py").write_text('"""An example that nobody has asked for."""\n')
    (template / "CHANGELOG.md").write_text(NEWS)
    git(template, "add", "--all")
    git(template, "commit", "--quiet", "--message", "feat: a bit of everything")
    git(template, "tag", "v1.1.0")
    return template


@dataclass
class Updated:
    """A team's service before and after its update to 1.1.0."""

    team: Team
    before: dict[str, str]
    said: str

    @property
    def now(self) -> dict[str, str]:
        return files(self.team.project)


@pytest.fixture(scope="module")
def service(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Updated:
    team = Team(made(template, "v1.0.0", {}, tmp_path_factory.mktemp("service")))
    team.writes("docs/scale.md", "Our limits.")
    team.writes("src/my_agent/health.py", "OURS = 1")
    team.writes("docs/cost.md", "What we pay.")
    team.adds("tests/agent/test_ours.py", "from my_agent import health\nfrom my_agent.health import OURS, Health\n")
    runbook = team.project / "docs/runbook.md"
    runbook.write_text(runbook.read_text().replace("# Runbook", "# Our runbook", 1))
    team.needs("jinja2")
    agents = team.project / "AGENTS.md"
    agents.rename(agents.with_name("CLAUDE.md")).write_text("Ours.\n")
    agents.symlink_to("CLAUDE.md")
    team.deletes("docs/observe.md", "CHANGELOG.md", "src/my_agent/agent/offline.py", "tests/agent/test_tools.py")
    team.commits()
    (team.project / ".env").write_text("SECRET=1\n")
    git(team.project, "config", "status.showUntrackedFiles", "no")  # Copier sees no untracked file then
    (team.project / "notes").mkdir()
    (team.project / "notes/ideas.md").write_text("Ours.\n")
    before = files(team.project)
    return Updated(team, before, updated(team.project, "--vcs-ref", "v1.1.0"))


def test_edits_go_along_with_a_moved_file(service: Updated) -> None:
    assert "docs/scale.md -> docs/growth.md" in service.said
    assert not {"docs/scale.md", "src/my_agent/health.py"} & set(service.now)
    assert service.now["docs/growth.md"].startswith("# Growth: ")
    assert service.now["docs/growth.md"].endswith("\nOur limits.\n")
    assert service.now["src/my_agent/vitals.py"].endswith("\nOURS = 1\n")


def test_imports_follow_a_moved_module(service: Updated) -> None:
    assert service.now["tests/agent/test_ours.py"] == (
        "from my_agent import vitals as health\nfrom my_agent.vitals import OURS, Health\n"
    )
    assert "Imports mended, of what has moved:\n  tests/agent/test_ours.py\n" in service.said


def test_what_was_deleted_does_not_come_back_not_even_where_it_has_moved_to(service: Updated) -> None:
    gone = {"docs/observe.md", "docs/watch.md", "CHANGELOG.md", "tests/agent/test_tools.py"}
    assert not gone & set(service.now)


def test_a_dropped_file_goes_unless_the_team_has_changed_it(service: Updated) -> None:
    assert "docs/security.md" not in service.now
    assert service.now["docs/cost.md"].endswith("What we pay.\n")
    assert re.search(r"has dropped what you have changed.*:\n  docs/cost.md\n", service.said)
    assert "docs/cost.md" in git(service.team.project, "ls-files", "--unmerged")


def test_what_both_have_changed_is_marked_and_listed_and_no_commit_takes_it_unseen(service: Updated) -> None:
    assert re.search(r"^CONFLICT: .*\n  AGENTS.md\n  docs/runbook.md\n", service.said, re.M)
    assert service.now["docs/runbook.md"].startswith(
        "<<<<<<< yours\n# Our runbook\n=======\n# Emergency handbook\n>>>>>>> the template now\n"
    )
    assert "STOPSIGNAL SIGINT" in service.now["Dockerfile"], "the rest is merged"
    commit = ["git", "commit", "--message", "x"]
    refused = subprocess.run(commit, cwd=service.team.project, capture_output=True, text=True, check=False)
    assert "unmerged files" in refused.stderr


def test_a_link_in_the_place_of_a_file_stays_and_is_listed(service: Updated) -> None:
    assert (service.team.project / "AGENTS.md").readlink() == Path("CLAUDE.md")
    assert service.now["CLAUDE.md"] == "Ours.\n"
    assert re.search(r"^CONFLICT: .*\n  AGENTS.md\n", service.said, re.M)


def test_the_team_s_folders_are_left_alone_and_what_is_newer_there_can_be_taken(service: Updated) -> None:
    agent = {path: text for path, text in service.before.items() if path.startswith("src/my_agent/agent/")}
    assert {path: text for path, text in service.now.items() if path.startswith("src/my_agent/agent/")} == agent
    found = re.search(r"(git restore --source=\w+ --) …\n  (src/my_agent/agent/tools.py)\n", service.said)
    assert found, service.said
    subprocess.run([*found[1].split(), found[2]], cwd=service.team.project, check=True)
    assert service.now["src/my_agent/agent/tools.py"].startswith('"""New tools.')
    git(service.team.project, "checkout", "--quiet", "--", found[2])


def test_a_lock_is_joined_never_merged(service: Updated) -> None:
    lock = service.now["requirements.lock"]
    assert "\ntyper==99." in lock
    assert {"jinja2", "markupsafe"} <= set(re.findall(r"^([a-z0-9-]+)==", lock, re.M))


def test_it_says_what_to_do_now_and_what_not(service: Updated) -> None:
    assert service.said.startswith("\nFrom template v1.0.0 to v1.1.0.\n\n1.1.0 asks:\n- Paint the service.\n\n")
    assert "Nothing any more" not in service.said
    assert service.said.endswith("\nNext: make lock format check\n")


def test_what_git_ignores_or_does_not_show_is_left_alone(service: Updated) -> None:
    assert (service.team.project / ".env").read_text() == "SECRET=1\n"
    assert (service.team.project / "notes/ideas.md").read_text() == "Ours.\n"


def in_the_way(project: Path) -> None:
    (project / ".git/info/exclude").write_text("growth.md\n")
    (project / "docs/growth.md").write_text("Ours.\n")


def a_folder(project: Path) -> None:
    (project / "docs/growth.md").mkdir()
    (project / "docs/growth.md/ours.md").write_text("Ours.\n")


def a_file(project: Path) -> None:
    shutil.rmtree(project / "scripts")
    (project / "scripts").write_text("Ours.\n")


@pytest.mark.parametrize(
    ("edit", "named"), [(in_the_way, "docs/growth.md"), (a_folder, "docs/growth.md"), (a_file, "scripts")]
)
def test_what_the_team_has_where_a_file_is_to_be_is_not_overwritten(
    edit: Callable[[Path], None], named: str, template: Path, tmp_path: Path
) -> None:
    project = made(template, "v1.0.0", {}, tmp_path)
    edit(project)
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--allow-empty", "--message", "feat: ours")
    before = files(project)
    command = [str(TOOLS / "copier"), "update", "--trust", "--defaults", "--vcs-ref", "v1.1.0"]
    done = subprocess.run(command, cwd=project, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "NOT UPDATED" in done.stderr
    assert f"\n  {named}\n" in done.stderr
    assert git(project, "status", "--porcelain") == ""
    assert files(project) == before


def test_a_new_question_breaks_nobody_and_a_second_update_has_nothing_to_do(template: Path, tmp_path: Path) -> None:
    project = made(template, "v1.0.0", {}, tmp_path)
    updated(project, "--vcs-ref", "v1.1.0")
    assert (project / "docs/blue.md").exists()
    assert not (project / "docs/red.md").exists()
    assert "\nfavourite_colour: blue\n" in (project / ".copier-answers.yml").read_text()
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "feat: update")
    assert updated(project, "--vcs-ref", "v1.1.0") == "\nNothing has changed: the service is at v1.1.0.\n"
    assert git(project, "status", "--porcelain") == ""


def test_two_services_in_one_repository_are_updated_one_by_one(template: Path, tmp_path: Path) -> None:
    repository = tmp_path / "several"
    for name in ("one", "two"):
        copied = made(template, "v1.0.0", {"project_name": name}, tmp_path / name)
        shutil.copytree(copied, repository / name, ignore=shutil.ignore_patterns(".git"))
    git(repository, "init", "--quiet")
    conflict = repository / "one/docs/runbook.md"
    conflict.write_text(conflict.read_text().replace("# Runbook", "# One's runbook", 1))
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "feat: two services")
    second = files(repository / "two")
    (repository / "two" / "notes.txt").write_text("not committed yet")
    git(repository, "add", "two/notes.txt")
    assert "CONFLICT" in updated(repository / "one", "--vcs-ref", "v1.1.0")
    assert (repository / "one/docs/blue.md").exists()
    assert not (repository / "one/docs/scale.md").exists()
    assert files(repository / "two") == {**second, "notes.txt": "not committed yet"}
    assert git(repository, "diff", "--cached", "--name-only", "--diff-filter=A") == "two/notes.txt\n"
    unmerged = git(repository, "ls-files", "--unmerged", "-z").split("\0")[:-1]
    assert {entry.split("\t")[1] for entry in unmerged} == {"one/docs/runbook.md"}
