"""A task, what is known of it while it runs, and its result."""

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel
from pydantic_ai.messages import ModelMessage
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RunUsage

from .answers import Answers

Emit = Callable[[str], Awaitable[None]]


class Pending(Exception):
    """The provider still works on an answer of the model's: the run has ended and can be gone on with later.

    Args:
        messages: the run so far, whose last one is the answer to come.
        usage: what it took so far.
    """

    def __init__(self, messages: Sequence[ModelMessage], usage: RunUsage) -> None:
        super().__init__("the answer is not there yet")
        self.messages = messages
        self.usage = usage


@dataclass(frozen=True)
class Task:
    """One piece of work for the agent.

    Args:
        input: what is asked, in plain text.
        tenant: whose budget, limits, cache and conversations it touches.
        actor: the name of the key that asked, for the audit trail.
        conversation_id: continues, or starts, a conversation.
        history: earlier turns that the caller keeps itself; excludes `conversation_id`.
        instructions: the caller's own, added to the agent's.
        model_settings: temperature and the like, where the door lets callers choose.
        metadata: goes into the run's log line, for the caller's own use.
        deadline_seconds: total time of the run, where it is not RUN__DEADLINE_SECONDS.
        resumes: the run that this one goes on with.
    """

    input: str
    tenant: str
    actor: str
    conversation_id: str | None = None
    history: tuple[ModelMessage, ...] = ()
    instructions: str | None = None
    model_settings: ModelSettings = field(default_factory=ModelSettings)
    metadata: Mapping[str, object] = field(default_factory=dict)
    deadline_seconds: float | None = None
    resumes: Pending | None = None
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)


class Usage(BaseModel):
    """What a run took. `cost_usd` is null when the model's price is not known."""

    input_tokens: int
    output_tokens: int
    cost_usd: float | None


class RunResult(BaseModel):
    """The answer to a task."""

    id: str
    output: str
    model: str
    usage: Usage
    degraded: bool = False
    cached: bool = False
    conversation_id: str | None = None


NOTHING = Usage(input_tokens=0, output_tokens=0, cost_usd=0.0)


class Progress:
    """What is known of a run while it goes on."""

    def __init__(self, task: Task, emit: Emit | None) -> None:
        self.task = task
        self.emit = emit
        self.usage = RunUsage()
        self.answers = Answers()
        self.started = time.perf_counter()
        self.outcome = "error"

    @property
    def answered_by(self) -> tuple[str, str]:
        """(role, model) of the last answer; of the fallback as soon as it has answered once."""
        fallback = [answer for answer in self.answers.models if answer[0] == "fallback"]
        return (fallback or self.answers.models or [("none", "none")])[-1]

    def spent(self) -> Usage:
        if self.usage.cost is not None:
            cost: float | None = float(self.usage.cost)
        else:  # nothing is free but nothing at all, and the offline model
            cost = None if self.usage.total_tokens and self.answered_by[1] != "offline" else 0.0
        return Usage(input_tokens=self.usage.input_tokens, output_tokens=self.usage.output_tokens, cost_usd=cost)
