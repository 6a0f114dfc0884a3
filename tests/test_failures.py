"""Runs the default project's chaos suite, which breaks everything around the gateway on purpose, and more that is slow.

Nothing runs beside the part that measures. The rest mostly waits, as the queue's suite does: `OWN_TESTS` has both.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from answers import DEFAULT, MEASURING, PYTEST
from conftest import Project, Render, under_git


@pytest.mark.skipif("CI" not in os.environ, reason="six minutes; CI runs it, and `make chaos` in a rendered project")
@pytest.mark.alone
def test_a_generated_service_keeps_its_figures_under_load(
    render: Render, user_environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    project = under_git(render(DEFAULT), "chaos", user_environment)
    project.run("make", "install")
    project.run(PYTEST, *MEASURING)
    with capsys.disabled():  # CI's log shows the figures
        print(project.path.joinpath("chaos-report.md").read_text())


@pytest.mark.skipif("CI" not in os.environ, reason="four minutes; CI runs it, as its servers are not on every desk")
def test_no_event_and_no_task_of_a_broker_is_lost(render: Render, user_environment: dict[str, str]) -> None:
    brokers = ("rabbitmq", "nats")
    projects = [
        under_git(render({"variants": ["queue"], "event_broker": broker}), broker, user_environment)
        for broker in brokers
    ]

    def tested(project: Project) -> str:
        project.run("make", "install")
        return project.run(".venv/bin/pytest", "tests/queue/dbos/test_broker.py")

    with ThreadPoolExecutor() as both:  # the tests mostly wait
        for passed in both.map(tested, projects):
            assert " passed" in passed
            assert "skipped" not in passed


@pytest.mark.parametrize("secrets_source", ["aws", "gcp", "azure"])  # the full project tests Vault
def test_a_secret_store_is_read_by_its_own_client(
    secrets_source: str, render: Render, user_environment: dict[str, str]
) -> None:
    project = under_git(render({"secrets_source": secrets_source}), "store", user_environment)
    project.run("make", "install")
    assert " passed" in project.run(".venv/bin/pytest", "tests/config/test_secret_store.py")
