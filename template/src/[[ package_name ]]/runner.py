"""The one path of a task, whichever door it came through:

deadline → kill switch → budget → cache → agent (its calls guarded) → sanitise → account → audit.
"""

import copy
import hashlib
from typing import Any

import structlog
from pydantic_ai import PendingModelResponse
from pydantic_ai.capabilities import AbstractCapability

from .accounts import account
from .agent.agent import agent
from .agent.deps import Deps
from .answers import answered, answers
from .budgets import Budgets
from .conversations import TenantConversation
from .errors import ModelUnavailable, ServiceError
from .failures import translated
from .flags import Flags
from .guard import deadline
from .models import Models
from .once import Once
from .outbound import Outbound
from .sanitize import clean_input, clean_output, redacted
from .secrets import Secrets
from .settings import Settings
from .state import State
from .streaming import AnswerStream
from .task import NOTHING, Emit, Pending, Progress, RunResult, Task
from .telemetry.audit import Audit

log = structlog.get_logger(__name__)

_PENDING = "pending"


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
        self._capabilities: list[AbstractCapability[Deps]] = []
        self._outputs: Any = None

    @property
    def models(self) -> Models:
        """What its runs are answered by."""
        return self._models

    def extended(
        self, models: Models, capabilities: list[AbstractCapability[Deps]], *, may_end_pending: bool = False
    ) -> "Runner":
        """A runner on the same path, with these models, whose agent has more capabilities.

        One that `may_end_pending` does not wait for what the provider does in its own time.
        """
        extended = copy.copy(self)
        extended._models = models
        extended._capabilities = capabilities
        extended._outputs = [agent.output_type, PendingModelResponse] if may_end_pending else None
        return extended

    async def run(self, task: Task, emit: Emit | None = None) -> RunResult:
        """The answer to `task`; with `emit`, its text is handed over piece by piece while it is made.

        Raises:
            ServiceError: with the status that a door should give.
            Pending: the answer comes later; only where the runner may end so.
            CancelledError: the caller went away; what was spent until then is accounted for.
        """
        run = Progress(task, emit)
        structlog.contextvars.bind_contextvars(run_id=task.run_id, tenant=task.tenant)
        try:
            seconds = task.deadline_seconds or self._settings.run.deadline_seconds
            async with deadline(seconds):
                await self._flags.check_kill_switch()
                primary = self._models.settings.primary
                earlier = task.resumes.usage if task.resumes else None
                async with self._budgets.reserve(task.tenant, task.run_id, primary, seconds, earlier) as run.usage:
                    result = await self._cached(run)
            run.outcome = "degraded" if result.degraded else "ok"
            return result
        except Pending:
            run.outcome = _PENDING
            raise
        except ServiceError as error:
            run.outcome = error.slug
            raise
        except Exception as error:
            known = translated(error, self._settings.guard.breaker_open_seconds)
            run.outcome = known.slug
            if known.status == 500:
                log.exception("run_failed_unexpectedly")
            raise known from error
        except BaseException:
            run.outcome = "cancelled"
            raise
        finally:
            if run.outcome != _PENDING:  # the run that goes on with it accounts for both
                account(run, self._audit)

    async def _cached(self, run: Progress) -> RunResult:
        """The answer from the cache, or the agent's; concurrent identical tasks of a tenant share one."""
        task, cache = run.task, self._settings.cache
        if not cache.ttl_seconds or task.conversation_id or task.history or run.emit or self._outputs:
            return await self._answer(run)
        key = hashlib.sha256(
            "\x00".join(
                (task.tenant, task.input, task.instructions or "", str(task.model_settings), self._models.names)
            ).encode()
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
            return stale.model_copy(update={"id": task.run_id, "degraded": True, "cached": True, "usage": NOTHING})
        result = RunResult.model_validate_json(answer)
        if earlier:
            return result.model_copy(update={"id": task.run_id, "cached": True, "usage": NOTHING})
        if not result.degraded:
            await self._state.set(f"last:{key}", answer.encode(), cache.ttl_seconds + cache.stale_seconds)
        return result

    async def _answer(self, run: Progress) -> RunResult:
        task, limits = run.task, self._settings.run
        text = clean_input(task.input, limits.max_input_chars)
        conversation = None
        history = list(task.resumes.messages if task.resumes else task.history)
        if task.conversation_id:
            conversation = TenantConversation(
                self._state,
                task.tenant,
                task.conversation_id,
                limits.history_tokens,
                limits.conversation_ttl_seconds,
                lambda text: redacted(text, self._secrets.values()),
            )
            history = await conversation.history()
        stream = AnswerStream(run.emit, self._secrets) if run.emit else None
        token = answers.set(run.answers)
        try:
            result = await agent.run(
                None if task.resumes else text,
                output_type=self._outputs,
                deps=self._deps,
                model=self._models.route(text, follows_up=bool(history) and not task.resumes),
                message_history=history or None,
                instructions=task.instructions,
                model_settings=task.model_settings,
                usage=run.usage,
                usage_limits=self._budgets.limits(),
                event_stream_handler=stream.handle if stream else None,
                capabilities=self._capabilities,
            )
        finally:
            answers.reset(token)
        run.answers.models = run.answers.models or answered(result.new_messages())
        if isinstance(result.output, PendingModelResponse):
            raise Pending(result.all_messages(), copy.copy(run.usage))
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
