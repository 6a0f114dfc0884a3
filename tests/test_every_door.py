"""Lint and types are clean in each combination of doors. test_generated_project.py has the default and the full one."""

import pytest

from answers import QUEUE, SERVERLESS, Answers, label
from conftest import Project, Render, under_git


@pytest.fixture(scope="module", params=[QUEUE, *SERVERLESS], ids=label)
def answers(request: pytest.FixtureRequest) -> Answers:
    answers: Answers = request.param
    return answers


@pytest.fixture(scope="module")
def project(answers: Answers, render: Render, user_environment: dict[str, str]) -> Project:
    project = under_git(render(answers), "doors", user_environment)
    project.run("make", "install")
    return project


def test_its_lint_and_types_are_clean(project: Project) -> None:
    project.run("make", "lint", "types")
