"""Every answer is refused with a helpful sentence, or rendered into a project whose files all parse."""

import ast
import json
import tomllib
from pathlib import Path

import pytest
import yaml
from copier import run_copy

from answers import Answers
from conftest import Render

REFUSED: dict[str, list[object]] = {
    "project_name": [
        "",
        " ",
        "a\nb",
        "x" * 200,
        "{{ 7*7 }}",
        "[[ 7*7 ]]",
        "[% raw %]",
        "\x1b[31m",
        "\u202eabc",
        "$(id)",
    ],
    "service_name": ["", "Agent", "my agent", "../etc", "a/b", "ä", "class", "json", "redis", "x" * 200, "{{x}}", "'"],
    "package_name": ["../evil", "os"],
    "description": ["", "a\nb", "x" * 201, "{{ x }}", "[[ x ]]", "<script>", "`id`", "$HOME", "back\\slash"],
    "owner": ["", "team", "a@b", "a b@example.com", '"a"@example.com', "a@example.com\nb", "{{x}}@example.com"],
    "license": ["", "GPL-3.0", "mit"],
    "variants": [[], ["lambda"], ["gateway", "nowhere"]],
    "queue_engine": ["dbos"],
    "event_broker": ["", "pulsar", "redis"],  # the last one without the queue
    "model_provider": ["", "OpenAI", "none", "mistral"],
    "fallback_provider": ["", "openai", "mistral"],
    "daily_cost_limit_usd": ["", "ten", 0, -1, "nan", "inf", 1e9],
    "slo_availability": ["", "three nines", 94.9, 100, 99.995, -1, "nan", "inf"],
    "slo_latency_seconds": ["", "fast", 0, -1, 0.004, 3601, "nan", "inf"],
    "secrets_source": ["", "s3", "ENV"],
    "http": [False],
    "cloud_secrets": [True],
    "deploy_target": ["", "ecs", "Kubernetes"],
    "ci": ["", "jenkins", "GitHub"],
    "image_registry": ["", "https://x.io", "x.io/A", "x.io/a:1", "../x", "x.io/{{a}}", "x" * 200, "x.io/a b"],
    "python_version": ["", "3.10", "3", "3.15", 3.1],
}

# Valid, but awkward in some file format. Each is tried as name and as description.
AWKWARD = [
    "'",
    "\"quoted\" and 'quoted'",
    '"""',
    "- item: value # comment",
    "yes",
    "null",
    "123",
    "1e3",
    "*alias &anchor !tag",
    "50% | off, now",
    "日本語 😀 ещё",
    "json",
    "@at, [brackets] {braces}",
    "--flag",
    "#",
]


@pytest.mark.parametrize(
    ("question", "answer"),
    [(question, answer) for question, answers in REFUSED.items() for answer in answers],
    ids=lambda value: ascii(value)[:30],
)
def test_a_bad_answer_is_refused_before_anything_is_written(
    question: str, answer: object, copier_template: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"\w{3,} .*\w{3,}|could not convert|Invalid choice") as refusal:
        run_copy(str(copier_template), tmp_path / "p", data={question: answer}, defaults=True, unsafe=True, quiet=True)
    assert "Traceback" not in str(refusal.value)
    assert not (tmp_path / "p").exists() or not list((tmp_path / "p").iterdir())


def test_a_broker_is_refused_where_sqs_takes_its_place(copier_template: Path, tmp_path: Path) -> None:
    answers = {"variants": ["queue", "serverless"], "event_broker": "nats"}
    with pytest.raises(ValueError, match="A broker needs the queue variant without serverless, where SQS"):
        run_copy(str(copier_template), tmp_path / "p", data=answers, defaults=True, unsafe=True, quiet=True)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("variants", "target", "why"),
    [
        (["serverless"], "kubernetes", "run on AWS Lambda alone; choose none"),
        (["queue", "serverless"], "compose", "run on AWS Lambda alone; choose none"),
        (["queue"], "compose", "Compose moves HTTP traffic"),
    ],
)
def test_a_target_that_has_nothing_to_run_is_refused(
    variants: list[str], target: str, why: str, copier_template: Path, tmp_path: Path
) -> None:
    answers = {"variants": variants, "deploy_target": target}
    with pytest.raises(ValueError, match=why):
        run_copy(str(copier_template), tmp_path / "p", data=answers, defaults=True, unsafe=True, quiet=True)


def test_every_question_is_tried_with_hostile_answers() -> None:
    questions = yaml.safe_load((Path(__file__).parent.parent / "copier.yml").read_text())
    answered = {name for name, question in questions.items() if not name.startswith("_") and question["type"] != "yaml"}
    assert answered == set(REFUSED)


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_text_reaches_every_file_unharmed(text: str, render: Render) -> None:
    project = render({"project_name": text, "description": text})
    assert_every_file_parses(project)
    assert tomllib.loads((project / "pyproject.toml").read_text())["project"]["description"] == text
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text())
    assert (answers["project_name"], answers["description"]) == (text, text)


@pytest.mark.parametrize("answers", [{"service_name": "a"}, {"service_name": "x" * 40}, {"service_name": "a1-b2-c3"}])
def test_shortest_and_longest_names_are_rendered(answers: Answers, render: Render) -> None:
    project = render(answers)
    assert_every_file_parses(project)
    package = answers["service_name"].replace("-", "_")
    assert (project / "src" / package).is_dir()


def test_at_most_twelve_questions_are_asked_each_in_a_line() -> None:
    questions = yaml.safe_load((Path(__file__).parent.parent / "copier.yml").read_text())
    asked = {
        name: question
        for name, question in questions.items()
        if not name.startswith("_") and question.get("when", True) is not False and question.get("ask", True)
    }
    assert len(asked) <= 12
    assert {name: question["help"] for name, question in asked.items() if len(question["help"]) > 76} == {}


@pytest.mark.parametrize(
    ("folder", "service"), [("myservice", "myservice"), ("faq_bot", "faq-bot"), ("2024", "my-agent")]
)
def test_a_service_is_called_like_its_folder(
    folder: str, service: str, copier_template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_copy(str(copier_template), tmp_path / folder, defaults=True, unsafe=True)
    answers = yaml.safe_load((tmp_path / folder / ".copier-answers.yml").read_text())
    assert answers["service_name"] == service
    said = capfd.readouterr().err.split("\n")
    last = "\n".join(said[-14:])
    assert all(step in last for step in (f"cd {tmp_path / folder}", "git init", "make run", "make test"))


class CloudFormation(yaml.SafeLoader):
    """Reads YAML with CloudFormation's short forms, such as `!Ref`, and ignores their meaning."""


CloudFormation.add_multi_constructor("!", lambda loader, tag, node: tag)


def assert_every_file_parses(project: Path) -> None:
    """Parse every rendered file with the parser of its format."""
    for path in project.rglob("*"):
        match path.suffix:
            case ".toml":
                tomllib.loads(path.read_text())
            case ".yaml" | ".yml":
                list(yaml.load_all(path.read_text(), CloudFormation))
            case ".json":
                json.loads(path.read_text())
            case ".py":
                ast.parse(path.read_text())
