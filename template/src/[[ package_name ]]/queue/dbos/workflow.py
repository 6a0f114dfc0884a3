"""The durable form of a task: the runner's path as a DBOS workflow, whose model calls and effects are recorded steps.

When a worker dies, another one runs the same code again, and gets the recorded results instead of doing the work.
WORKFLOW_VERSION must go up when the order of steps changes: see docs/queue.md.
"""

import asyncio
import contextvars
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog
from dbos import DBOS
from dbos import error as dbos_error
from opentelemetry import context, propagate, trace

from ...errors import DeadlineExceeded, ServiceError, causes
from ...runs.result import RunResult
from ...runs.task import Pending, Task
from ...service import Service
from ...toolkit import steps
from .. import meters
from ..patience import pause, worth_another
from ..records import Failure, Spec, stored
from .batches.waiting import Batches
from .database import WORKFLOW
from .durable import Recorder, durable
from .events import event_of
from .queries import Facts, public_id
from .serial import TaskEnded
from .tasks import Tasks

log = structlog.get_logger(__name__)
tracer = trace.get_tracer(__name__)
Run = Callable[[Task], Awaitable[RunResult]]

WORKFLOW_VERSION = "1"
# Patience with the model was had already, in the step; a budget is not refilled by waiting a minute.
_ANOTHER_VERSION = "It was begun by a version of the service with other steps: submit it again, under another id."
_WAITED_FOR = ("model-unavailable", "budget-exceeded")


class TaskWorkflow:
    """A worker's way through a task."""

    def __init__(self, service: Service, tasks: Tasks) -> None:
        self._service = service
        self._settings = service.settings.queue
        self._tasks = tasks
        self._runner, self._batched = durable(service)
        self.batches = Batches(self._batched, self._settings)
        self._suspect = asyncio.Lock()
        self._ends: dict[str, Callable[[], None]] = {}

    def register(self) -> None:
        """Makes it known to DBOS, under a name that stays."""

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
        async def task(spec: str) -> str:
            return await self.run(str(DBOS.workflow_id), Spec.model_validate_json(spec))

    async def run(self, workflow_id: str, spec: Spec) -> str:
        """The answer as JSON.

        Raises:
            TaskEnded: there is no answer and will be none, unless the task is retried.
        """
        task_id = public_id(workflow_id)
        attached = context.attach(propagate.extract(spec.trace))
        structlog.contextvars.bind_contextvars(task_id=task_id, tenant=spec.tenant)
        steps.recorder.set(Recorder(self._tasks, workflow_id))
        try:
            with tracer.start_as_current_span("task", attributes={"task.id": task_id}):
                answer = stored(await self._attempts(workflow_id, spec))
            await self._ends_with(spec, workflow_id, "completed")
        except TaskEnded as ended:
            await self._ends_with(spec, workflow_id, ended.status, ended.failure)
            raise
        finally:
            context.detach(attached)
        return answer

    async def _attempts(self, workflow_id: str, spec: Spec) -> RunResult:
        facts = await self._tasks.facts(workflow_id)
        if facts.takeovers:
            meters.TAKEOVERS.add(1)
            log.warning("task_taken_over", takeovers=facts.takeovers)
        await self._tasks.events.tell(event_of("started", workflow_id, spec))
        urgent = spec.request.urgency == "normal"
        runner = self._runner if urgent else self._batched

        async def watched(task: Task) -> RunResult:
            async with self._watched(workflow_id, facts):
                return await runner.run(task)

        async def in_batches(task: Task) -> RunResult:
            return await self.batches.run(task, facts.ends_at, watched)

        return await self._tries(spec, facts.ends_at, watched if urgent else in_batches)

    @asynccontextmanager
    async def _watched(self, workflow_id: str, facts: Facts) -> AsyncGenerator[None]:
        """Around everything that may kill a worker.

        Tasks that ran beside a task that kills its worker lose their worker as often as that one. So after some
        takeovers a task is a suspect. A worker runs its suspects one at a time, and what counts against a task is how
        often it was the suspect that ran.
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
            except Pending:  # waiting for a provider harms no worker, and a stopped worker hands the task on
                await self._tasks.strike(workflow_id, facts.strikes)
                raise

    async def _tries(self, spec: Spec, ends_at: float, run: Run) -> RunResult:
        attempt = 1
        while True:
            try:
                return await _once(run, spec, ends_at - time.monotonic())
            except ServiceError as error:
                if error.status == 500:
                    detail = _ANOTHER_VERSION if _unlike_its_records(error) else error.detail
                    raise TaskEnded(TaskEnded.DEAD, error.slug, detail) from error
                if not worth_another(error) and error.status != 429:
                    raise TaskEnded(TaskEnded.FAILED, error.slug, error.detail) from error
                if error.slug in _WAITED_FOR or attempt == self._settings.attempts:
                    raise TaskEnded(TaskEnded.DEAD, error.slug, error.detail) from error
                # Not DBOS' sleep, which is recorded: a refusal is not, and the next worker may meet with none.
                await asyncio.sleep(pause(attempt, error.retry_after, self._settings))
                attempt += 1

    async def _ends_with(self, spec: Spec, workflow_id: str, outcome: str, error: Failure | None = None) -> None:
        await self._tasks.events.tell(event_of(outcome, workflow_id, spec, error))
        account = partial(self._tasks.account, spec, outcome)
        self._ends[workflow_id] = partial(contextvars.copy_context().run, account)  # the trace, for the log

    def recorded(self, workflow_id: str, written: bool) -> None:
        """Accounts for the end of a task, once it is recorded. Another worker's task it may be by now, and another's
        end."""
        if (account := self._ends.pop(workflow_id, None)) and written:
            account()


def _unlike_its_records(error: BaseException) -> bool:
    """Whether a task met recorded steps that are not the ones of this code."""
    unexpected = dbos_error.DBOSUnexpectedStepError
    return any(isinstance(cause, unexpected) for cause in causes(error, contexts=True))


async def _once(run: Run, spec: Spec, seconds: float) -> RunResult:
    try:
        if seconds > 0:
            return await run(spec.task(seconds))
    except DeadlineExceeded:
        pass
    raise TaskEnded(TaskEnded.FAILED, DeadlineExceeded.slug, "Its deadline passed before it was done.")
