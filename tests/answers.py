"""Answers that the tests render projects with."""

from typing import Any

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

# Every provider, every secret source and every broker once, for the fast tests.
OTHERS: list[Answers] = [
    {
        "model_provider": "google",
        "secrets_source": "gcp",
        "license": "MIT",
        "ci": "none",
        "variants": ["gateway", "queue"],
        "event_broker": "rabbitmq",
    },
    {"model_provider": "bedrock", "secrets_source": "aws", "fallback_provider": "google", "python_version": "3.14"},
    {"model_provider": "openai_compatible", "secrets_source": "azure", "fallback_provider": "openai"},
    {
        "secrets_source": "files",
        "fallback_provider": "anthropic",
        "python_version": "3.12",
        "variants": ["queue"],
        "event_broker": "nats",
    },
    {"secrets_source": "files", "ci": "gitlab", "variants": ["gateway", "queue"], "event_broker": "kafka"},
    {"secrets_source": "files", "ci": "none", "variants": ["queue"]},
]

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

MATRIX = [DEFAULT, FULL, *OTHERS, *SERVERLESS]


def label(answers: Answers) -> str:
    """A short test id."""
    if answers == DEFAULT:
        return "defaults"
    if answers is FULL:
        return "full"
    return "-".join(
        part
        for name in ("variants", "model_provider", "secrets_source", "event_broker")
        if name in answers
        for part in ([answers[name]] if isinstance(answers[name], str) else answers[name])
    )
