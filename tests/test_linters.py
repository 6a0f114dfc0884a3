"""The linter of every format, on this repository and on rendered projects, all offline."""

import os
import subprocess
from pathlib import Path

import pytest

from answers import DEFAULT, FULL, QUEUE, SERVERLESS, Answers
from conftest import ROOT, TOOLS, Render

# Where containers and functions run decides what a pipeline does; these are the other ways for each CI.
PIPELINES: list[Answers] = [
    {**QUEUE, "image_registry": "ghcr.io/acme/agents"},
    {**SERVERLESS[-1], "deploy_target": "compose"},
    SERVERLESS[0],
    {**QUEUE, "ci": "gitlab"},
    SERVERLESS[1],
]


@pytest.fixture
def trees(render: Render) -> list[Path]:
    """This repository, and projects with either CI."""
    return [ROOT, render(DEFAULT), render(FULL)]


@pytest.fixture
def pipelines(trees: list[Path], render: Render) -> list[Path]:
    return [*trees, *map(render, PIPELINES)]


def lint(trees: list[Path], patterns: str, tool: str, *options: str) -> None:
    """Run a linter on the files that match the patterns; at least one file must match."""
    files = sorted(path for tree in trees for pattern in patterns.split() for path in tree.glob(pattern))
    assert files, f"nothing to check: {patterns}"
    path = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"  # jactionlint looks for shellcheck there
    done = subprocess.run(
        [TOOLS / tool, *options, *files], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.fail(f"{tool} {' '.join(options)}\n{done.stdout}{done.stderr}", pytrace=False)


def test_workflows_have_no_mistakes(pipelines: list[Path]) -> None:
    lint(pipelines, ".github/workflows/*.yml", "jactionlint", "--profile=correctness", "--strict-exit")


def test_workflows_grant_least_privilege(pipelines: list[Path]) -> None:
    files = ".github/workflows/*.yml .github/actions/*/*.yml"
    lint(pipelines, files, "zizmor", "--offline", "--quiet", "--persona=pedantic")


def test_workflows_match_their_schema(pipelines: list[Path]) -> None:
    lint(pipelines, ".github/workflows/*.yml", "check-jsonschema", "--builtin-schema=vendor.github-workflows")
    lint(pipelines, ".github/actions/*/*.yml", "check-jsonschema", "--builtin-schema=vendor.github-actions")


def test_gitlab_settings_match_their_schema(pipelines: list[Path]) -> None:
    schema = ("--builtin-schema=vendor.gitlab-ci", "--data-transform=gitlab-ci")
    lint(pipelines, ".gitlab-ci.yml", "check-jsonschema", *schema)


def test_compose_files_match_their_schema(trees: list[Path]) -> None:
    lint(trees, "compose.yaml deploy/compose/compose.yaml", "check-jsonschema", "--builtin-schema=vendor.compose-spec")


def test_dockerfiles_follow_good_practice(trees: list[Path]) -> None:
    lint(trees, "Dockerfile", "hadolint", "--failure-threshold=style")


def test_shell_scripts_are_sound(trees: list[Path]) -> None:
    lint(trees, ".ci/run scripts/*.sh .github/actions/*/*.sh", "shellcheck")
