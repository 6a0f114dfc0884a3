"""Answers that the tests render projects with."""

import os
from itertools import combinations
from typing import Any

from pairwise import pairwise

Answers = dict[str, Any]

DEFAULT: Answers = {}

# The opposite of every default, with as much punctuation in free text as the validators accept.
FULL: Answers = {
    "project_name": 'L\'Été & Co: "Facturation" #1, 100 %',
    "service_name": "ete-facturation",
    "description": "Answers 'why?' and \"how much?\": yes/no, 50 % off | & more — ещё, 日本語 😀 # not a comment",
    "owner": "team+agents@sub.example.co.uk",
    "license": "Apache-2.0",
    "variants": ["gateway", "queue"],
    "event_broker": "redis",
    "model_provider": "anthropic",
    "fallback_provider": "openai_compatible",
    "daily_cost_limit_usd": 12.5,
    "slo_availability": 99.5,
    "slo_latency_seconds": 2.75,
    "secrets_source": "vault",
    "deploy_target": "compose",
    "ci": "gitlab",
    "image_registry": "localhost:5000/team_a/agents",
    "python_version": "3.11",
}

QUEUE: Answers = {"variants": ["queue"]}

# AWS Lambda in each combination of variants, with every kind of model access that its SAM template knows.
SERVERLESS: list[Answers] = [
    {"variants": ["serverless"], "secrets_source": "aws"},
    {"variants": ["gateway", "serverless"], "model_provider": "bedrock", "python_version": "3.11", "ci": "gitlab"},
    {
        "variants": ["queue", "serverless"],
        "model_provider": "openai_compatible",
        "fallback_provider": "anthropic",
        "ci": "none",
    },
    {
        "variants": ["gateway", "queue", "serverless"],
        "model_provider": "anthropic",
        "fallback_provider": "openai_compatible",
        "secrets_source": "aws",
    },
]

DOORS = ("gateway", "queue", "serverless")
EVERY_DOOR = [list(chosen) for size in (1, 2, 3) for chosen in combinations(DOORS, size)]
PROVIDERS = ["openai", "anthropic", "google", "bedrock", "openai_compatible"]
SECRETS = ["env", "files", "aws", "gcp", "azure", "vault"]
BROKERS = ["none", "rabbitmq", "nats", "kafka", "redis"]


def possible(answers: Answers) -> bool:
    """Whether answers go together, as far as they are given."""
    doors, broker = answers.get("variants"), answers.get("event_broker", "none")
    if doors is not None and broker != "none" and ("queue" not in doors or "serverless" in doors):
        return False
    target = answers.get("deploy_target", "none")
    if (
        doors is not None
        and target != "none"
        and "gateway" not in doors
        and ("serverless" in doors or target == "compose")
    ):
        return False
    return bool(answers.get("model_provider", "any") != answers.get("fallback_provider"))


# Every pair of two answers is in one of these at least. Of many orders that were tried, this one needs the fewest rows.
PAIRS = list(
    pairwise(
        {
            "event_broker": ["none", "redis", "rabbitmq", "kafka", "nats"],
            "variants": [EVERY_DOOR[number] for number in (4, 6, 3, 5, 2, 0, 1)],
            "fallback_provider": ["bedrock", "google", "none", "openai_compatible", "anthropic", "openai"],
            "ci": ["none", "gitlab", "github"],
            "secrets_source": ["files", "azure", "vault", "gcp", "env", "aws"],
            "model_provider": ["google", "openai", "openai_compatible", "bedrock", "anthropic"],
            "deploy_target": ["compose", "kubernetes", "none"],
            "license": ["Apache-2.0", "Proprietary", "MIT"],
            "python_version": ["3.14", "3.13", "3.11", "3.12"],
        },
        possible,
    )
)
MATRIX = [DEFAULT, FULL, *PAIRS]


def label(answers: Answers) -> str:
    """A short test id."""
    if answers == DEFAULT:
        return "defaults"
    if answers is FULL:
        return "full"
    return "-".join(
        part
        for name in ("variants", "model_provider", "secrets_source", "event_broker", "deploy_target")
        if answers.get(name, "none") != "none"
        for part in ([answers[name]] if isinstance(answers[name], str) else answers[name])
    )


# The chaos tests that measure latency, or that keep all cores busy: nothing runs beside them.
MEASURING = [
    f"tests/chaos/test_{name}.py"
    for name in ("floods", "held_loop", "hostile_texts", "outage", "overhead", "overload", "retry_storm")
]


def _own_tests() -> dict[str, tuple[Answers, list[str]]]:
    """The suites of rendered projects that run whole: the answers and the command, by a name.

    The default project runs all of its own. Another one runs the folders whose code its answers change,
    but for tests of code that is equal in all.
    """
    full = ("agent", "config", "contract", "models", "queue", "runs", "ship", "toolkit")
    equal = [f"--ignore=tests/runs/test_{name}.py" for name in ("hygiene", "hygiene_hostile", "hygiene_secrets")]
    suites: dict[str, tuple[Answers, list[str]]] = {}
    if "CI" in os.environ:  # 40 minutes; at a desk, `make test` and `make chaos` in a project
        rest = [f"--ignore={file}" for file in MEASURING]
        suites["chaos"] = (DEFAULT, [PYTEST, "tests/chaos", *rest])
        suites["every-door"] = (SERVERLESS[-1], [PYTEST, "tests/serverless", "tests/queue"])
        suites["queue-chaos"] = ({"variants": ["gateway", "queue"]}, [PYTEST, "tests/chaos/queue"])
        for answers in SERVERLESS[:-1]:
            own = [f"tests/serverless/test_lambda_{part}.py" for part in ("contract", "events", "runs", "sandbox")]
            suites[label(answers)] = (answers, [PYTEST, *own])
    suites["defaults"] = (DEFAULT, ["make", "test"])
    suites["full"] = (FULL, [PYTEST, *(f"tests/{folder}" for folder in full), *equal])
    suites["queue"] = (QUEUE, [PYTEST, "tests/agent", "tests/config", "tests/runs", "tests/toolkit", *equal])
    return suites


PYTEST = ".venv/bin/pytest"
OWN_TESTS = _own_tests()
# These mostly wait: they run one after another, beside the others, which run one after another too.
WAITING = ("chaos", "every-door", "queue-chaos")
