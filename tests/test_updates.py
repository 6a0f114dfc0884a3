"""`copier update` brings improvements, follows changed answers, and does not touch the team's files."""

import subprocess
from pathlib import Path

import pytest
from pytest_copier.plugin import CopierFixture, CopierProject


@pytest.fixture
def project(copier: CopierFixture, tmp_path: Path) -> CopierProject:
    project = copier.copy(tmp_path / "my-agent")
    commit(project)
    return project


def commit(project: CopierProject) -> None:
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "feat: change"]):
        subprocess.run(["git", *command], cwd=project.path, check=True)


def test_changed_answers_move_files_and_locks(project: CopierProject) -> None:
    project.update(ci="gitlab", license="MIT", model_provider="anthropic")
    assert (project / ".gitlab-ci.yml").exists()
    assert not list((project / ".github").rglob("*.yml"))
    assert (project / "LICENSE").exists()
    lock = (project / "requirements.lock").read_text()
    assert "\nanthropic==" in lock
    assert "\nopenai==" not in lock


def test_an_update_without_changes_changes_nothing(project: CopierProject) -> None:
    project.update()
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=project.path, capture_output=True, text=True, check=True
    )
    assert status.stdout == ""


def test_the_teams_agent_is_not_touched(project: CopierProject) -> None:
    agent = project / "src" / "my_agent" / "agent" / "agent.py"
    agent.write_text("# ours\n")
    (project / "CHANGELOG.md").write_text("# Ours\n")
    commit(project)
    project.update(description="Another sentence.")
    assert agent.read_text() == "# ours\n"
    assert (project / "CHANGELOG.md").read_text() == "# Ours\n"
    assert "Another sentence." in (project / "pyproject.toml").read_text()


def test_a_service_that_gets_a_queue_keeps_what_the_team_has_written(project: CopierProject) -> None:
    ours = {"Makefile": "ours: ## Ours\n\t@echo ours", "README.md": "## Our chapter", ".env.example": "OUR__SETTING=1"}
    for name, words in ours.items():
        file = project / name
        file.write_text(f"{file.read_text()}\n{words}\n")
    commit(project)
    project.update(variants=["gateway", "queue"])
    assert (project / "src" / "my_agent" / "queue" / "dbos" / "worker.py").exists()
    assert "$(SERVICE) work" in (project / "Makefile").read_text(), "the template's own change is merged too"
    for name, words in ours.items():
        text = (project / name).read_text()
        assert text.rstrip().endswith(words), name
        assert "\n<<<<<<<" not in text, name


def test_a_service_gets_a_queue_with_a_broker_and_loses_both(project: CopierProject) -> None:
    broker = project / "src" / "my_agent" / "queue" / "dbos" / "broker.py"
    project.update(variants=["gateway", "queue"], event_broker="nats")
    assert "NATS" in broker.read_text()
    commit(project)
    project.update(variants=["gateway"])
    assert not broker.exists()
    assert "event_broker" not in (project / ".copier-answers.yml").read_text()
    assert "faststream" not in (project / "requirements.lock").read_text()
