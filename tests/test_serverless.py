"""Projects for AWS Lambda: lint and types are clean in each combination of variants, and their own tests pass."""

import os

import pytest

from answers import SERVERLESS, Answers, label
from conftest import Project, Render, under_git

EVERYTHING = SERVERLESS[-1]  # the project with all doors runs all tests; the others run those that their doors change
OWN = [f"tests/serverless/test_lambda_{part}.py" for part in ("contract", "events", "runs", "sandbox")]


@pytest.fixture(scope="module", params=SERVERLESS, ids=label)
def answers(request: pytest.FixtureRequest) -> Answers:
    answers: Answers = request.param
    return answers


@pytest.fixture(scope="module")
def project(answers: Answers, render: Render, user_environment: dict[str, str]) -> Project:
    project = under_git(render(answers), "functions", user_environment)
    project.run("make", "install")
    return project


def test_its_lint_and_types_are_clean(project: Project) -> None:
    project.run("make", "lint", "types")


@pytest.mark.skipif("CI" not in os.environ, reason="ten minutes for all; CI runs it, and `make test` in a project")
def test_its_functions_keep_their_promises(answers: Answers, project: Project) -> None:
    suites = ["tests/serverless", "tests/queue"] if answers is EVERYTHING else OWN
    assert " passed" in project.run(".venv/bin/pytest", *suites)
