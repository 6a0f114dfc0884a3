"""Projects for AWS Lambda: clean in each combination of variants, and their functions' own tests green."""

import os

import pytest

from answers import SERVERLESS, Answers, label
from conftest import Project, Render, under_git


@pytest.fixture(scope="module", params=SERVERLESS, ids=label)
def project(request: pytest.FixtureRequest, render: Render, user_environment: dict[str, str]) -> Project:
    answers: Answers = request.param
    project = under_git(render(answers), "functions", user_environment)
    project.run("make", "install")
    return project


def test_its_lint_and_types_are_clean(project: Project) -> None:
    project.run("make", "lint", "types")


@pytest.mark.skipif(
    "CI" not in os.environ, reason="ten minutes for all of them; CI runs it, and `make test` in a project"
)
def test_its_functions_keep_their_promises(project: Project) -> None:
    assert " passed" in project.run(".venv/bin/pytest", "tests/serverless")
