"""Rendered projects read as if written by hand, and name no option that was not chosen."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from answers import FULL, MATRIX, Answers, label
from conftest import Render
from test_lockfile import compiled
from test_questions import assert_every_file_parses


def containers_do_tasks(answers: Answers) -> bool:
    variants = answers.get("variants", [])
    return "queue" in variants and "serverless" not in variants


def containers(answers: Answers) -> bool:
    return "gateway" in answers.get("variants", ["gateway"]) or containers_do_tasks(answers)


# Words that belong to an option, and the answers that allow them.
CHOICES: dict[str, Callable[[Answers], bool]] = {
    r"\bGitHub Actions\b|\.github\b": lambda answers: answers.get("ci", "github") == "github",
    r"gitlab": lambda answers: answers.get("ci") == "gitlab",
    r"import hvac|hashicorp": lambda answers: answers.get("secrets_source") == "vault",
    r"azure": lambda answers: answers.get("secrets_source") == "azure",
    r"AWSSecrets|secretsmanager": lambda answers: (
        answers.get("secrets_source") == "aws" or "serverless" in answers.get("variants", [])
    ),
    r"GoogleSecret|gcp": lambda answers: answers.get("secrets_source") == "gcp",
    r"/queue/": lambda answers: "queue" in answers.get("variants", []),
    r"dbos|sqlite:|sqlalchemy import|worker's heartbeat": lambda answers: containers_do_tasks(answers),
    r"/sqs/|moto for|local_aws": lambda answers: {"queue", "serverless"} <= set(answers.get("variants", [])),
    r"faststream|intake": lambda answers: answers.get("event_broker", "none") != "none",
    r"rabbitmq|amqp|aio_pika": lambda answers: answers.get("event_broker") == "rabbitmq",
    r"\bnats\b|nats-": lambda answers: answers.get("event_broker") == "nats",
    r"kafka": lambda answers: answers.get("event_broker") == "kafka",
    r"/gateway/|\bfastapi\b|import uvicorn|smoke\.py": lambda answers: answers.get("variants") != ["queue"],
    r"DRAIN_SECONDS|IDEMPOTENCY_SECONDS|http_server_request|requests_rejected": lambda answers: (
        answers.get("variants") != ["queue"]
    ),
    r"webhook(?!_configs)|batch_provider|postgres|QUEUE__CONCURRENCY": lambda answers: containers_do_tasks(answers),
    r"serverless|aws_lambda|dynamodb|mangum": lambda answers: "serverless" in answers.get("variants", []),
    r"haproxy|blue.green": lambda answers: answers.get("deploy_target") == "compose",
    r"kubectl|httproute": lambda answers: (
        answers.get("deploy_target", "kubernetes" if containers(answers) else "none") == "kubernetes"
    ),
    r"import boto3": lambda answers: (
        "serverless" in answers.get("variants", [])
        or answers.get("secrets_source") == "aws"
        or "bedrock" in (answers.get("model_provider"), answers.get("fallback_provider"))
    ),
}
LOCKS = {"requirements.lock", "requirements-dev.lock", "requirements-uv.lock"}

every_choice = pytest.mark.parametrize("answers", MATRIX, ids=label)


def texts(project: Path) -> dict[str, str]:
    """Every rendered text file by its path in the project."""
    return {
        path.relative_to(project).as_posix(): path.read_text()
        for path in sorted(project.rglob("*"))
        if path.is_file() and path.name not in LOCKS
    }


@every_choice
def test_every_file_parses(answers: Answers, render: Render) -> None:
    assert_every_file_parses(render(answers))


@every_choice
def test_no_delimiter_of_the_template_is_left(answers: Answers, render: Render) -> None:
    left = re.compile(r"\[%|%\]|\[\[ \w|\w \]\]|\[# ")
    # A shell test with [[ ]] looks the same, but template files have none: see docs/decisions.
    assert [name for name, text in texts(render(answers)).items() if left.search(text)] == []


@every_choice
def test_no_file_has_loose_ends(answers: Answers, render: Render) -> None:
    for name, text in texts(render(answers)).items():
        if text:
            assert text.endswith("\n"), f"{name}: no newline at its end"
            assert not text.endswith("\n\n"), f"{name}: blank lines at its end"
        # The original Apache licence starts with a blank line.
        assert name == "LICENSE" or not text.startswith("\n"), f"{name}: a blank line at its start"
        assert "\n\n\n\n" not in text, f"{name}: three blank lines"
        # In Markdown, two spaces at a line's end break the line.
        blank = r"[ \t]+$" if not name.endswith(".md") else r"(?<! ) $"
        assert not re.search(blank, text, re.M), f"{name}: spaces at a line's end"
        if not name.endswith((".py", ".md")):  # Markdown holds Python code, formatted by ruff
            assert "\n\n\n" not in text, f"{name}: two blank lines"


@every_choice
def test_no_file_names_an_option_that_was_not_chosen(answers: Answers, render: Render) -> None:
    absent = [pattern.lower() for pattern, chosen in CHOICES.items() if not chosen(answers)]
    found = [
        f"{name}: {match[0]}"
        for name, text in texts(render(answers)).items()
        for pattern in absent
        if (match := re.search(pattern, f"{name}\n{text}".lower()))
    ]
    assert found == []


@every_choice
def test_its_locks_equal_those_of_uv(answers: Answers, render: Render, tmp_path: Path) -> None:
    project = render(answers)
    source = [project / "pyproject.toml"]
    runtime = (project / "requirements.lock").read_text()
    development = (project / "requirements-dev.lock").read_text()
    assert compiled(source, runtime, tmp_path) == runtime
    assert compiled(source, development, tmp_path, "--extra", "dev") == development


@every_choice
def test_its_answers_file_has_every_answer(answers: Answers, render: Render) -> None:
    text = (render(answers) / ".copier-answers.yml").read_text()
    asked = set(FULL) - (set() if containers_do_tasks(answers) else {"event_broker"})
    asked -= set() if containers(answers) else {"deploy_target"}
    assert {question for question in FULL if f"\n{question}:" in text} == asked


@every_choice
def test_generated_modules_stay_small(answers: Answers, render: Render) -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (render(answers) / "src").rglob("*.py")}
    assert {str(path): lines for path, lines in lengths.items() if lines > 210} == {}


@every_choice
def test_a_project_locks_the_engine_that_it_runs(answers: Answers, render: Render) -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", (render(answers) / "requirements-dev.lock").read_text(), re.MULTILINE))
    assert bool(locked & {"dbos", "sqlalchemy", "psycopg"}) == containers_do_tasks(answers)


@every_choice
def test_pages_name_every_promise_and_only_existing_settings(answers: Answers, render: Render) -> None:
    project = render(answers)
    pages = {name: text for name, text in texts(project).items() if name.endswith(".md")}
    settings = set(re.findall(r"^# ([A-Z_]+)=", (project / ".env.example").read_text(), re.MULTILINE))
    for name, text in pages.items():
        unknown = set(re.findall(r"`([A-Z]+__[A-Z_]*[A-Z])[`=]", text)) - settings
        assert not unknown, f"{name}: {unknown}"
    [readiness] = project.glob("src/*/cli/readiness.py")
    promises = re.findall(r'^    "(\w+\.\w+)":', readiness.read_text(), re.MULTILINE)
    assert [promise for promise in promises if not any(f"`{promise}`" in text for text in pages.values())] == []


@every_choice
def test_every_promise_has_a_test_and_every_test_a_promise(answers: Answers, render: Render) -> None:
    project = render(answers)
    [readiness] = project.glob("src/*/cli/readiness.py")
    report, whole = runpy.run_path(str(readiness))["report"](project)
    assert whole, report
