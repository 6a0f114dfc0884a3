"""Waiting for batches.

pydantic-ai gathers the requests of a worker's tasks into batches, and ends a run as soon as its request is submitted.
The task then waits here, in one step of its workflow that only looks. When another worker takes the task over, it goes
on looking at the same batch: the record of the submission names it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

import structlog
from dbos import DBOS, error
from pydantic import TypeAdapter
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.models.batch import Batch

from ....config.queue import QueueSettings
from ....errors import DeadlineExceeded, ModelUnavailable, ServiceError
from ....guard import BulkheadFull, CircuitOpen
from ....models.failures import transient
from ....runs.result import RunResult
from ....runs.runner import Runner
from ....runs.task import Pending, Task
from .provider import BatchLost, BatchModel, check_batch_api

log = structlog.get_logger(__name__)

_HANDLE = TypeAdapter(Batch)
# Refusals that come before the model is asked: the answer is still there, and is fetched when the service may go on.
_REFUSALS = ("switched-off", "budget-exceeded", "state-unavailable", "overloaded")


@dataclass
class _Seen:
    """The state of a batch, shared by all tasks that wait for it."""

    over: bool = False
    looked: float = float("-inf")
    waiting: int = 0
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Batches:
    """Runs tasks stretch by stretch: a stretch goes from one answer of the provider to the next request.

    Args:
        runner: ends runs as pending; the tasks of a model without a batch API fail.
        settings: how often to look.
    """

    def __init__(self, runner: Runner, settings: QueueSettings) -> None:
        self._runner = runner
        self._models = runner.models
        self._seconds = settings.batch_poll_seconds
        self._longest = settings.deadline_seconds
        self._seen: dict[str, _Seen] = {}
        self._waiting: set[asyncio.Task[object]] = set()
        self._leaving = False

    async def run(self, task: Task, ends_at: float, stretch: Callable[[Task], Awaitable[RunResult]]) -> RunResult:
        """The answer to `task`, which is given up at `ends_at` (by `time.monotonic()`).

        Raises:
            ServiceError: as the runner does.
            CancelledError: this worker stops; another one goes on.
        """
        check_batch_api(self._models)
        while True:
            # A stretch reserves a part of the tenant's budget, so it must not last as long as the whole task may.
            seconds = min(self._longest, ends_at - time.monotonic())
            if seconds <= 0:
                raise DeadlineExceeded("Its deadline passed before it was done.")
            try:
                return await stretch(replace(task, deadline_seconds=seconds))
            except Pending as pending:
                task = replace(task, resumes=pending)
                await self._wait(task, pending, ends_at)
            except ModelUnavailable as failure:
                if not task.resumes:
                    raise
                raise ModelUnavailable("The provider's batch has ended without an answer to this task.") from failure
            except ServiceError as refusal:
                if not task.resumes or refusal.slug not in _REFUSALS:
                    raise
                log.info("batch_task_waits", error=refusal.slug)
                await asyncio.sleep(self._seconds)  # not DBOS' sleep, which is recorded: a refusal is not

    def leave(self) -> None:
        """Lets go of the waiting tasks: they would keep a stopping worker for hours."""
        self._leaving = True
        for waiting in self._waiting:
            waiting.cancel()

    async def _wait(self, task: Task, pending: Pending, ends_at: float) -> None:
        batch = _handle(pending.messages[-1])
        model = self._model_of(batch)
        this = cast("asyncio.Task[object]", asyncio.current_task())
        self._waiting.add(this)
        if self._leaving:
            this.cancel()
        try:
            look = partial(self._ended, model, batch, ends_at)
            await DBOS.run_step_async({"name": "batch", "preemptible": True}, look)
        except (error.DBOSWorkflowCancelledError, DeadlineExceeded) as ended:
            outcome = ended.slug if isinstance(ended, DeadlineExceeded) else "cancelled"
            await self._runner.abandon(task, pending, model.guarded, outcome)
            if batch.request_count == 1:  # a provider cancels whole batches, with the requests of other tasks
                try:
                    await model.batch_cancel(batch)
                    log.info("batch_cancelled", batch=batch.id)
                except Exception as failure:  # noqa: BLE001  the task has ended in any case
                    log.warning("batch_not_cancelled", batch=batch.id, error=type(failure).__name__)
            raise
        finally:
            self._waiting.discard(this)

    async def _ended(self, model: Model, batch: Batch, ends_at: float) -> None:
        seen = self._seen.setdefault(batch.id, _Seen())
        seen.waiting += 1
        try:
            while not await self._over(model, batch, seen):
                if (left := ends_at - time.monotonic()) <= 0:
                    raise DeadlineExceeded("Its deadline passed while the provider worked on its batch.")
                await asyncio.sleep(min(self._seconds, left))
        finally:
            seen.waiting -= 1
            if not seen.waiting:
                self._seen.pop(batch.id, None)

    async def _over(self, model: Model, batch: Batch, seen: _Seen) -> bool:
        async with seen.looking:
            if not seen.over and time.monotonic() - seen.looked > self._seconds / 2:
                seen.looked = time.monotonic()
                try:
                    seen.over = (await model.batch_status(batch)).status == "ended"
                except Exception as failure:  # noqa: BLE001  providers' clients have no common class
                    # An outage passes. With any other failure the run goes on, meets it, and says what it is.
                    seen.over = not isinstance(failure, CircuitOpen | BulkheadFull) and not transient(failure)
                    log.warning("batch_not_seen", batch=batch.id, error=type(failure).__name__)
            return seen.over

    def _model_of(self, batch: Batch) -> BatchModel:
        for model in cast(Iterable[BatchModel], self._models.by_size.values()):
            if (model.system, model.model_name) == (batch.provider_name, batch.model_name):
                return model
        raise BatchLost(
            f"Its batch was submitted to {batch.provider_name}:{batch.model_name}, which the service no longer uses:"
            " have it use that again, then retry."
        )


def _handle(message: ModelMessage) -> Batch:
    """The batch that the run waits for, as pydantic-ai notes it in the answer to come."""
    return _HANDLE.validate_python((cast(ModelResponse, message).provider_details or {})["batch"]["batch"])
