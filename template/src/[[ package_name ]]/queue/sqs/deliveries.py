"""Deliveries: SQS hands messages to a function, and each message names a task to do.

A function holds a lease on the row of its task. So a message that is delivered twice is done once. When a function
dies, its lease lapses, and the next delivery goes on from the checkpoints. A task is dead after QUEUE__ATTEMPTS
attempts without progress. SQS gives a message up after as many deliveries, so a fresh message takes its place first.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Self

import structlog
from opentelemetry import context, propagate, trace

from ...errors import BudgetExceeded, DeadlineExceeded, ServiceError
from ...guard import time_remaining
from ...runs.result import RunResult
from ...runs.task import Task
from ...service import Service
from ...toolkit import steps
from .. import meters
from ..patience import pause, worth_another
from ..records import Spec, Status, stored
from .checkpoints import CheckpointedModel, Checkpoints, current
from .lease import Held, Lease
from .rows import ROW_BYTES, WorkerLost, check_size, now_ms
from .tasks import Tasks

log = structlog.get_logger(__name__)
tracer = trace.get_tracer(__name__)

SETTLE_SECONDS = 1.0  # of an invocation's time, kept for the rows and messages of tasks that it could not finish
ALONE_SECONDS = 30.0  # of an invocation's time, without which a suspect is not begun


class NotDone(Exception):
    """The message stays in the queue: it is delivered again, or goes to the dead letters."""


class Suspect(Exception):
    """The function that ran the task has died, perhaps of it, so the task runs alone."""

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt


class LetGo(Exception):
    """The task was cancelled, or another function has it."""


@dataclass(frozen=True)
class Message:
    """A message in its `delivery`th delivery; `sent` in milliseconds since 1970."""

    id: str
    receipt_handle: str
    body: str
    delivery: int
    sent: int

    @classmethod
    def of(cls, record: dict[str, Any]) -> Self:
        delivery, sent = (int(record["attributes"][name]) for name in ("ApproximateReceiveCount", "SentTimestamp"))
        return cls(record["messageId"], record["receiptHandle"], record["body"], delivery, sent)


class Deliveries:
    """Runs the tasks that messages name."""

    def __init__(self, service: Service, tasks: Tasks) -> None:
        self._service = service
        self._settings = service.settings.queue
        self._tasks = tasks
        models = service.runner.models.wrapped(CheckpointedModel)
        self._runner = service.runner.extended(models)

    async def take_all(self, messages: Sequence[Message]) -> list[Message]:
        """Does the tasks of messages. The result is the messages that must be delivered again.

        They run side by side, and then the suspects one after the other: first those with the fewest attempts.
        """
        begun = await asyncio.gather(*(self._done(message, alone=len(messages) == 1) for message in messages))
        outcomes = dict(zip(messages, begun, strict=True))
        suspects = {message: it.attempt for message, it in outcomes.items() if isinstance(it, Suspect)}
        for message in sorted(suspects, key=suspects.__getitem__):
            if (time_remaining() or inf) >= ALONE_SECONDS:
                outcomes[message] = await self._done(message, alone=True)
        return [message for message in messages if outcomes[message] is not True]

    async def _done(self, message: Message, *, alone: bool) -> bool | Suspect:
        try:
            await self._take(message, alone)
        except (NotDone, Held):
            return False
        except Suspect as suspect:
            return suspect
        except ServiceError as error:  # AWS does not answer
            log.warning("delivery_failed", error=error.slug)
            return False
        except Exception:
            log.exception("delivery_failed_unexpectedly")
            return False
        return True

    async def _take(self, message: Message, alone: bool) -> None:
        try:
            body = json.loads(message.body)
            tenant, task_id = str(body["tenant"]), str(body["id"])
        except (ValueError, TypeError, KeyError):
            log.error("poison_message", message=message.id)
            raise NotDone from None
        structlog.contextvars.bind_contextvars(task_id=task_id, tenant=tenant)
        row = await self._tasks.table.get(tenant, task_id)
        if row is None:
            log.warning("message_without_task")
            return
        if row.status == Status.DEAD and message.sent <= row.finished_at and message.delivery > 1:
            await self._give_back(message, 0)  # on its way to the dead letters
        # A message that was sent after the task's death comes from the dead letters: an operator wants the task done.
        if Status(row.status).final and (row.status != Status.DEAD or message.sent <= row.finished_at):
            return
        if row.not_before > now_ms():
            return await self._tasks.send(row)  # SQS holds nothing back for so long
        if 1 < message.delivery >= self._settings.attempts:
            return await self._tasks.send(row)
        if row.lost and not alone:
            raise Suspect(row.attempt)
        if (time_remaining() or inf) < 2 * SETTLE_SECONDS:
            raise NotDone
        lease = await Lease.claim(self._tasks.table, row)
        if lease.row.attempt > self._settings.attempts:
            await self._end(lease, Spec.model_validate_json(row.spec), Status.DEAD, error=WorkerLost(row))
            await self._give_back(message, 0)
        await self._run(lease, Spec.model_validate_json(row.spec), message)

    async def _run(self, lease: Lease, spec: Spec, message: Message) -> None:
        checkpoints = Checkpoints(self._service.state, self._tasks.table, lease)
        current.set(checkpoints)
        steps.recorder.set(checkpoints)
        attached = context.attach(propagate.extract(spec.trace))
        try:
            with tracer.start_as_current_span("task", attributes={"task.id": lease.row.id}):
                result = stored(await self._leased(lease, _task_of(lease, spec, checkpoints)))
            check_size(ROW_BYTES, lease.row.spec, result)
        except LetGo:
            log.warning("task_let_go")
        except ServiceError as error:
            await self._failed(lease, spec, checkpoints, error, message)
        else:
            await self._end(lease, spec, Status.COMPLETED, result=result)
        finally:
            context.detach(attached)

    async def _leased(self, lease: Lease, task: Task) -> RunResult:
        if task.deadline_seconds is not None and task.deadline_seconds <= 0:
            raise DeadlineExceeded("Its deadline passed before it was done.")
        running, losing = asyncio.create_task(self._runner.run(task)), asyncio.create_task(lease.lost())
        try:
            await asyncio.wait({running, losing}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                raise LetGo
            return running.result()
        finally:
            running.cancel()
            losing.cancel()
            await asyncio.gather(running, losing, return_exceptions=True)

    async def _failed(
        self, lease: Lease, spec: Spec, checkpoints: Checkpoints, error: ServiceError, message: Message
    ) -> None:
        """Ends the task, or gives it back where another delivery may succeed."""
        passing = error.status == 429 or (worth_another(error) and now_ms() < lease.row.deadline_at)
        if error.status != 500 and not passing:
            return await self._end(lease, spec, Status.FAILED, error=error)
        used_up = lease.row.attempt >= self._settings.attempts and not checkpoints.progress
        if error.status == 500 or isinstance(error, BudgetExceeded) or used_up:
            await self._end(lease, spec, Status.DEAD, error=error)
            await self._give_back(message, 0)
        await lease.release(**checkpoints.booked())
        await self._give_back(message, pause(lease.row.attempt, error.retry_after, self._settings))

    async def _give_back(self, message: Message, seconds: float) -> None:
        """Raises:
        NotDone: always; the message is seen again after so many seconds.
        """
        await self._tasks.asked(
            "change_message_visibility", ReceiptHandle=message.receipt_handle, VisibilityTimeout=round(seconds)
        )
        raise NotDone

    async def _end(
        self, lease: Lease, spec: Spec, status: Status, *, result: str = "", error: ServiceError | None = None
    ) -> None:
        if await lease.end(status, result=result, error=error):
            meters.count_task(status)
            log.info("task", outcome=status.value)
            facts = {"tenant": spec.tenant, "task": lease.row.id}
            self._service.audit.record("task", actor=spec.actor, outcome=status.value, **facts)


def _task_of(lease: Lease, spec: Spec, checkpoints: Checkpoints) -> Task:
    left = (lease.row.deadline_at - now_ms()) / 1000
    task = spec.task(min(left, (time_remaining() or inf) - SETTLE_SECONDS))
    return replace(task, earlier=checkpoints.earlier)
