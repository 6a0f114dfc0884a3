"""The durable form of a task: the runner's path as a DBOS workflow, its model calls and effects as recorded steps.

When a worker dies, another one runs the same code again and gets what was recorded in place of what was done.
WORKFLOW_VERSION must go up when the order of steps changes: see docs/queue.md.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import structlog
from dbos import DBOS
from opentelemetry import context, propagate, trace
from pydantic_ai.durable_exec.dbos import DBOSDurability, StepConfig

from ..agent.agent import agent
from ..errors import DeadlineExceeded, ServiceError
from ..models.guarded import GuardedModel
from ..runs.runner import Runner
from ..runs.task import Pending, RunResult, Task
from ..service import Service
from ..toolkit import Deps, steps
from . import meters
from .batch_models import BatchModel, gathering, not_taken
from .batching import Batches
from .database import WORKFLOW
from .events import event_of
from .patience import PatientModel, pause, worth_another
from .queries import Facts
from .recorder import Recorder
from .records import Failure, Spec, public_id
from .serial import TaskEnded
from .tasks import Tasks

log = structlog.get_logger(__name__)
tracer = trace.get_tracer(__name__)
Run = Callable[[Task], Awaitable[RunResult]]

WORKFLOW_VERSION = "1"


class BoundOnce(DBOSDurability[Deps]):
    """Registers its steps with DBOS once a process, not once a run."""

    _bound: Any = None

    def for_agent(self, agent: Any) -> Any:
        self._bound = self._bound or super().for_agent(agent)
        return self._bound


def durable(service: Service) -> tuple[Runner, Runner]:
    """The service's runner, for use inside a workflow: what a model has answered is recorded, and not asked again.

    And the one whose models are asked through their providers' batch API.
    """
    runner, settings = service.runner, service.settings.queue
    creating = runner.models.guards.get("model_batch", not_taken)
    asked = runner.models.wrapped(lambda model: PatientModel(model, settings))
    batched = runner.models.alone().wrapped(lambda model: BatchModel(cast(GuardedModel, model), creating, settings))
    # Preemptible: a cancelled task's model call is broken off. DBOS knows the word, pydantic-ai's type of it not yet.
    options = cast(StepConfig, {"preemptible": True})
    models = {**asked.by_size, **{f"batch-{size}": model for size, model in batched.by_size.items()}}
    durability = BoundOnce(models=models, model_step_config=options)
    agent.model = models["big"]  # binding wants to see one; each run still names its own
    durability.for_agent(agent)
    return (
        runner.extended(asked, [durability]),
        runner.extended(batched, [durability, gathering(settings)], may_end_pending=True),
    )


class TaskWorkflow:
    """What a worker does with a task."""

    def __init__(self, service: Service, tasks: Tasks) -> None:
        self._service = service
        self._settings = service.settings.queue
        self._tasks = tasks
        self._runner, self._batched = durable(service)
        self.batches = Batches(self._batched.models, self._settings)
        self._suspect = asyncio.Lock()

    def register(self) -> None:
        """Makes it known to DBOS, under a name that stays."""

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
        async def task(spec: str) -> str:
            return await self.run(str(DBOS.workflow_id), Spec.model_validate_json(spec))

    async def run(self, workflow_id: str, spec: Spec) -> str:
        """The answer as JSON.

        Raises:
            TaskEnded: there is none and will be none, unless the task is retried.
        """
        task_id = public_id(workflow_id)
        parent = propagate.extract(spec.trace)
        attached = context.attach(parent)
        structlog.contextvars.bind_contextvars(task_id=task_id, tenant=spec.tenant)
        steps.recorder.set(Recorder(self._tasks, workflow_id))
        try:
            with tracer.start_as_current_span("task", attributes={"task.id": task_id}):
                result = await self._attempts(workflow_id, spec)
            await self._ended(spec, workflow_id, "completed")
        except TaskEnded as ended:
            error = Failure(type=f"urn:problem:{ended.slug}", detail=ended.detail)
            await self._ended(spec, workflow_id, ended.status, error)
            raise
        finally:
            context.detach(attached)
        return result.model_dump_json()

    async def _attempts(self, workflow_id: str, spec: Spec) -> RunResult:
        facts = await self._tasks.facts(workflow_id)
        if facts.takeovers:
            meters.TAKEOVERS.add(1)
            log.warning("task_taken_over", takeovers=facts.takeovers)
        watched = partial(self._watched, workflow_id, facts)
        if spec.request.urgency == "normal":
            async with watched():
                return await self._tries(workflow_id, spec, facts, self._runner.run)

        async def stretch(task: Task) -> RunResult:
            async with watched():
                return await self._batched.run(task)

        async def run(task: Task) -> RunResult:
            return await self.batches.run(task, facts.deadline_at, stretch)

        return await self._tries(workflow_id, spec, facts, run)

    @asynccontextmanager
    async def _watched(self, workflow_id: str, facts: Facts) -> AsyncGenerator[None]:
        """Around what may kill a worker.

        Those that ran beside a task that kills its worker lose theirs as often. So from some takeovers on a task is a
        suspect: suspects run one at a time in a worker, and what counts against a task is how often it was the one.
        """
        suspected_from = min(2, self._settings.max_takeovers)
        if not facts.takeovers or facts.takeovers < suspected_from:
            yield
            return
        async with self._suspect:
            if facts.strikes >= self._settings.max_takeovers - suspected_from + 1:
                raise TaskEnded(TaskEnded.DEAD, "worker-lost", f"Its worker died {facts.takeovers} times.")
            await self._tasks.strike(workflow_id, facts.strikes + 1)
            try:
                yield
            except Pending:  # to wait for a provider harms no worker, and every one that is stopped hands it on
                await self._tasks.strike(workflow_id, facts.strikes)
                raise

    async def _tries(self, workflow_id: str, spec: Spec, facts: Facts, run: Run) -> RunResult:
        await self._tasks.events.tell(event_of("started", workflow_id, spec))
        attempt = 1
        while True:
            try:
                return await _once(run, public_id(workflow_id), spec, facts.deadline_at - time.time())
            except ServiceError as error:
                if error.status == 500:
                    raise TaskEnded(TaskEnded.DEAD, error.slug, error.detail) from error
                if not worth_another(error) and error.status != 429:
                    raise TaskEnded(TaskEnded.FAILED, error.slug, error.detail) from error
                if error.slug in _WAITED_FOR or attempt == self._settings.attempts:
                    raise TaskEnded(TaskEnded.DEAD, error.slug, error.detail) from error
                # Not DBOS', which would be recorded: a refusal is not, and whoever goes on may meet with none.
                await asyncio.sleep(pause(attempt, error.retry_after, self._settings))
                attempt += 1

    async def _ended(self, spec: Spec, workflow_id: str, outcome: str, error: Failure | None = None) -> None:
        await self._tasks.events.tell(event_of(outcome, workflow_id, spec, error))
        meters.TASKS.add(1, {"outcome": outcome})
        log.info("task", outcome=outcome)
        facts = {"tenant": spec.tenant, "task": public_id(workflow_id)}
        self._service.audit.record("task", actor=spec.actor, outcome=outcome, **facts)


async def _once(run: Run, task_id: str, spec: Spec, seconds: float) -> RunResult:
    if seconds <= 0:
        raise TaskEnded(TaskEnded.FAILED, DeadlineExceeded.slug, "Its deadline passed before it was done.")
    request = spec.request
    task = Task(
        input=request.input,
        tenant=spec.tenant,
        actor=spec.actor,
        conversation_id=request.conversation_id,
        metadata=request.metadata or {},
        deadline_seconds=seconds,
        run_id=task_id,
    )
    try:
        return await run(task)
    except DeadlineExceeded as error:
        raise TaskEnded(TaskEnded.FAILED, error.slug, "Its deadline passed before it was done.") from error


# Patience with the model was had already, in the step; a budget is not refilled by waiting a minute.
_WAITED_FOR = ("model-unavailable", "budget-exceeded")
