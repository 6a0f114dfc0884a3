"""Everything around a generated service is broken on purpose: its own chaos suite, of the gateway and of the queue.

They take the better part of ten minutes each, so `make test` at a desk leaves them to CI and to `make chaos` in a
project.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from answers import DEFAULT, Answers
from conftest import Project, Render, under_git


@pytest.mark.skipif("CI" not in os.environ, reason="ten minutes; CI runs it, and `make chaos` in a rendered project")
@pytest.mark.alone
@pytest.mark.parametrize(
    ("answers", "suite"),
    [(DEFAULT, "tests/chaos"), ({"variants": ["gateway", "queue"]}, "tests/chaos/queue")],
    ids=["gateway", "queue"],
)
def test_a_generated_service_survives_its_chaos_suite(
    answers: Answers, suite: str, render: Render, user_environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    project = under_git(render(answers), "chaos", user_environment)
    project.run("make", "install")
    project.run(".venv/bin/pytest", suite)  # as `make chaos` does
    with capsys.disabled():  # the figures belong into CI's log
        print(project.path.joinpath("chaos-report.md").read_text())


@pytest.mark.skipif("CI" not in os.environ, reason="four minutes; CI runs it, as its servers are not on every desk")
def test_nothing_is_lost_on_the_way_from_and_to_a_broker(render: Render, user_environment: dict[str, str]) -> None:
    brokers = ("rabbitmq", "nats")
    projects = [
        under_git(render({"variants": ["queue"], "event_broker": broker}), broker, user_environment)
        for broker in brokers
    ]

    def tested(project: Project) -> str:
        project.run("make", "install")
        return project.run(".venv/bin/pytest", "tests/queue/test_broker.py")

    with ThreadPoolExecutor() as both:  # they wait most of the time
        for passed in both.map(tested, projects):
            assert " passed" in passed
            assert "skipped" not in passed


@pytest.mark.parametrize("secrets_source", ["aws", "gcp", "azure"])  # the full project, which has Vault, runs its own
def test_a_secret_store_is_read_by_its_own_client(
    secrets_source: str, render: Render, user_environment: dict[str, str]
) -> None:
    project = under_git(render({"secrets_source": secrets_source}), "store", user_environment)
    project.run("make", "install")
    assert " passed" in project.run(".venv/bin/pytest", "tests/config/test_secret_store.py")
