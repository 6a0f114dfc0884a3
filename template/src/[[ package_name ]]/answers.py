"""Which models answered in a run: noted while it goes on, and in the responses themselves."""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from pydantic_ai.messages import ModelMessage


@dataclass
class Answers:
    """Which models answered in the run at hand."""

    models: list[tuple[str, str]] = field(default_factory=list)  # (role, provider:name)


answers: ContextVar[Answers] = ContextVar("answers")
ANSWERED_BY = "answered_by"


def answered(messages: Sequence[ModelMessage]) -> list[tuple[str, str]]:
    """Which models answered, as the responses say themselves: they may have been recorded by another process."""
    stamps = [(message.metadata or {}).get(ANSWERED_BY) for message in messages if message.kind == "response"]
    return [(role, name) for role, name in filter(None, stamps)]
