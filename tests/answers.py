"""Answers that the tests render projects with."""

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
    "secrets_source": "vault",
    "ci": "gitlab",
    "image_registry": "localhost:5000/team_a/agents",
    "python_version": "3.11",
}

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
    return bool(answers.get("model_provider", "any") != answers.get("fallback_provider"))


# Every pair of two answers is in one of these at least.
PAIRS = list(
    pairwise(
        {
            "variants": EVERY_DOOR,
            "model_provider": PROVIDERS,
            "fallback_provider": ["none", *PROVIDERS],
            "secrets_source": SECRETS,
            "event_broker": BROKERS,
            "ci": ["github", "gitlab", "none"],
            "license": ["Proprietary", "MIT", "Apache-2.0"],
            "python_version": ["3.11", "3.12", "3.13", "3.14"],
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
        for name in ("variants", "model_provider", "secrets_source", "event_broker")
        if answers.get(name, "none") != "none"
        for part in ([answers[name]] if isinstance(answers[name], str) else answers[name])
    )
