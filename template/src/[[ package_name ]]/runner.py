"""The one path of a task, whichever door it came through:

deadline → kill switch → budget → cache → agent (its calls guarded) → sanitise → account → audit.
"""

import asyncio
import hashlib
import time
import uuid
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import BaseModel
from pydantic_ai import RunContext
from pydantic_ai.messages import AgentStreamEvent, FinalResultEvent, ModelMessage, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RunUsage

from .agent.agent import agent
from .agent.deps import Deps
from .budgets import Budgets
from .conversations import TenantConversation
from .errors import ModelUnavailable, ServiceError
from .failures import translated
from .flags import Flags
from .guard import deadline
from .models import Answers, Models, answers
from .once import Once
from .outbound import Outbound
from .sanitize import StreamCleaner, clean_input, clean_output
from .secrets import Secrets
from .settings import Settings
from .state import State
from .telemetry import metrics
from .telemetry.audit import Audit

log = structlog.get_logger(__name__)
Emit = Callable[[str], Awaitable[None]]


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
    """

    input: str
    tenant: str
    actor: str
    conversation_id: str | None = None
    history: tuple[ModelMessage, ...] = ()
    instructions: str | None = None
    model_settings: ModelSettings = field(default_factory=ModelSettings)
    metadata: Mapping[str, object] = field(default_factory=dict)
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


class Runner:
    """Runs tasks. Made once a process; everything a run needs is handed to it here."""

    def __init__(
        self, settings: Settings, secrets: Secrets, state: State, models: Models, outbound: Outbound, audit: Audit
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._state = state
        self._models = models
        self._deps = Deps(outbound, settings.agent)
        self._audit = audit
        self._flags = Flags(state)
        self._budgets = Budgets(state, settings.budget, settings.run)
        self._cache = Once(state, "answer:")

    async def run(self, task: Task, emit: Emit | None = None) -> RunResult:
        """The answer to `task`; with `emit`, its text is handed over piece by piece while it is made.

        Raises:
            ServiceError: with the status that a door should give.
            CancelledError: the caller went away; what was spent until then is accounted for.
        """
        run = _Run(task, emit)
        structlog.contextvars.bind_contextvars(run_id=task.run_id, tenant=task.tenant)
        try:
            async with deadline(self._settings.run.deadline_seconds):
                await self._flags.check_kill_switch()
                async with self._budgets.reserve(task.tenant, task.run_id, self._models.settings.primary) as run.usage:
                    result = await self._cached(run)
            run.outcome = "degraded" if result.degraded else "ok"
            return result
        except ServiceError as error:
            run.outcome = error.slug
            raise
        except asyncio.CancelledError:
            run.outcome = "cancelled"
            raise
        except Exception as error:
            known = translated(error, self._settings.guard.breaker_open_seconds)
            run.outcome = known.slug
            if known.status == 500:
                log.exception("run_failed_unexpectedly")
            raise known from error
        finally:
            self._account(run)

    async def _cached(self, run: "_Run") -> RunResult:
        """The answer from the cache, or the agent's; concurrent identical tasks of a tenant share one."""
        task, cache = run.task, self._settings.cache
        if not cache.ttl_seconds or task.conversation_id or task.history or run.emit:
            return await self._answer(run)
        key = hashlib.sha256(
            "\x00".join((task.tenant, task.input, task.instructions or "", str(task.model_settings), self._models.names)).encode()
        ).hexdigest()

        async def work() -> str:
            return (await self._answer(run)).model_dump_json()

        try:
            answer, earlier = await self._cache.do(
                key, "", cache.ttl_seconds, work, patience=self._settings.run.deadline_seconds
            )
        except Exception as error:
            # The last good answer is better than none.
            last = await self._state.get(f"last:{key}")
            if last is None or not isinstance(translated(error, 1), ModelUnavailable):
                raise
            stale = RunResult.model_validate_json(last)
            return stale.model_copy(update={"id": task.run_id, "degraded": True, "cached": True, "usage": _NOTHING})
        result = RunResult.model_validate_json(answer)
        if earlier:
            return result.model_copy(update={"id": task.run_id, "cached": True, "usage": _NOTHING})
        if not result.degraded:
            await self._state.set(f"last:{key}", answer.encode(), cache.ttl_seconds + cache.stale_seconds)
        return result

    async def _answer(self, run: "_Run") -> RunResult:
        task, limits = run.task, self._settings.run
        text = clean_input(task.input, limits.max_input_chars)
        conversation = None
        history = list(task.history)
        if task.conversation_id:
            conversation = TenantConversation(
                self._state, task.tenant, task.conversation_id, limits.history_tokens, limits.conversation_ttl_seconds
            )
            history = await conversation.history()
        stream = _Stream(run.emit, self._secrets) if run.emit else None
        token = answers.set(run.answers)
        try:
            result = await agent.run(
                text,
                deps=self._deps,
                model=self._models.route(text, follows_up=bool(history)),
                message_history=history or None,
                instructions=task.instructions,
                model_settings=task.model_settings,
                usage=run.usage,
                usage_limits=self._budgets.limits(),
                event_stream_handler=stream.handle if stream else None,
            )
        finally:
            answers.reset(token)
        if stream:
            await stream.finish()
        if conversation:
            await conversation.remember(result.all_messages())
        role, model = run.answered_by
        return RunResult(
            id=task.run_id,
            output=clean_output(result.output, self._secrets.values()),
            model=model,
            usage=run.spent(),
            degraded=role == "fallback" or not self._state.shared,
            conversation_id=task.conversation_id,
        )

    def _account(self, run: "_Run") -> None:
        """What the run took and how it ended: metric, log line, audit record."""
        spent = run.spent()
        seconds = time.perf_counter() - run.started
        role, model = run.answered_by
        metrics.RUN_DURATION.record(seconds, {"outcome": run.outcome})
        if spent.cost_usd:
            metrics.RUN_COST.add(spent.cost_usd, {"model": model, "tenant": run.task.tenant})
        elif spent.cost_usd is None:
            metrics.RUN_COST_UNKNOWN.add(1, {"model": model})
        facts: dict[str, Any] = {
            "model": model,
            "input_tokens": spent.input_tokens,
            "output_tokens": spent.output_tokens,
            "cost_usd": spent.cost_usd,
        }
        metadata = {"metadata": run.task.metadata} if run.task.metadata else {}
        log.info("run", outcome=run.outcome, role=role, duration_seconds=round(seconds, 4), **facts, **metadata)
        self._audit.record(
            "run", actor=run.task.actor, outcome=run.outcome, tenant=run.task.tenant, run_id=run.task.run_id, **facts
        )


_NOTHING = Usage(input_tokens=0, output_tokens=0, cost_usd=0.0)


class _Run:
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


class _Stream:
    """Hands the text of the final answer over, cleaned, as it comes."""

    def __init__(self, emit: Emit, secrets: Secrets) -> None:
        self._emit = emit
        self._cleaner = StreamCleaner(secrets.values)

    async def handle(self, _: RunContext[Deps], events: AsyncIterable[AgentStreamEvent]) -> None:
        final = False
        async for event in events:
            match event:
                case FinalResultEvent():
                    final = True
                case PartStartEvent(part=TextPart(content=text)) if text:
                    await self._send(text)
                case PartDeltaEvent(delta=TextPartDelta(content_delta=text)) if final:
                    await self._send(text)

    async def finish(self) -> None:
        if rest := self._cleaner.finish():
            await self._emit(rest)

    async def _send(self, text: str) -> None:
        if ready := self._cleaner.feed(text):
            await self._emit(ready)
