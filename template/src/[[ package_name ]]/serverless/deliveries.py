"""What is done with one message of SQS."""

import asyncio
import json
import uuid
from typing import Any

import structlog
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from opentelemetry import context, propagate, trace

from .. import steps
from ..errors import BudgetExceeded, DeadlineExceeded, ServiceError
from ..queue import meters
from ..queue.patience import pause, worth_another
from ..queue.records import Spec, Status
from ..queue.rows import Row, end, now_ms
from ..queue.sqs import SqsTasks
from ..service import Service
from ..task import RunResult, Task
from .checkpoints import CheckpointedModel, Checkpoints, current

log = structlog.get_logger(__name__)
tracer = trace.get_tracer(__name__)

LEASE_SECONDS = 30.0
_RENEW_SECONDS = 10.0
_MINE = "#status = :given_running AND #owner = :given_owner"


class NotDone(Exception):
    """The message stays in the queue: it is delivered again, or goes to the dead letters."""


class LeaseLost(Exception):
    """The task was cancelled, or another function has it."""


class Deliveries:
    """Runs the tasks that messages name."""

    def __init__(self, service: Service, tasks: SqsTasks) -> None:
        self._service = service
        self._settings = service.settings.queue
        self._tasks = tasks
        models = service.runner.models.wrapped(CheckpointedModel)
        self._runner = service.runner.extended(models, [])

    async def take(self, message: SQSRecord) -> None:
        """Raises:
        NotDone: the message is not to be deleted.
        ServiceError: neither, as AWS does not answer.
        """
        delivery = int(message.attributes.approximate_receive_count)
        try:
            body = json.loads(message.body)
            tenant, task_id = str(body["tenant"]), str(body["id"])
        except (ValueError, TypeError, KeyError):
            log.error("poison_message", message=message.message_id)
            raise NotDone("not a message of this service's") from None
        structlog.contextvars.bind_contextvars(task_id=task_id, tenant=tenant)
        row = await self._tasks.table.get(tenant, task_id)
        if row is None:
            log.warning("message_without_task")
            return
        if row.status == Status.DEAD and delivery > 1:
            await self._give_back(message, 0)  # on its way to the dead letters
        if Status(row.status).final and row.status != Status.DEAD:
            return  # delivered once more than needed
        if row.not_before > now_ms():
            return await self._tasks.send(row)  # SQS holds nothing back for so long
        await self._run(await self._claimed(row, delivery), message)

    async def _claimed(self, row: Row, delivery: int) -> Row:
        """The row, as this delivery's own. A dead one comes from the dead letters: an operator has sent it again."""
        if row.status == Status.RUNNING and row.lease_until > now_ms():
            raise NotDone("another function has it")
        owner, lost = uuid.uuid4().hex, row.status == Status.RUNNING
        claimed = await self._tasks.table.change(
            row.tenant,
            row.id,
            "(#status = :given_status AND #lease_until = :given_lease) OR #owner = :given_owner",
            {"status": row.status, "lease": row.lease_until, "owner": owner},
            status=Status.RUNNING.value,
            owner=owner,
            lease_until=now_ms() + int(LEASE_SECONDS * 1000),
            attempt=delivery,
            takeovers=row.takeovers + lost,
            started_at=row.started_at or now_ms(),
        )
        if claimed is None:
            raise NotDone("another function was quicker")
        if lost:
            meters.TAKEOVERS.add(1)
            log.warning("task_taken_over", takeovers=claimed.takeovers)
        return claimed

    async def _run(self, row: Row, message: SQSRecord) -> None:
        spec = Spec.model_validate_json(row.spec)
        checkpoints = Checkpoints(self._service.state, self._tasks.table, row)
        current.set(checkpoints)
        steps.recorder.set(checkpoints)
        attached = context.attach(propagate.extract(spec.trace))
        try:
            with tracer.start_as_current_span("task", attributes={"task.id": row.id}):
                result = await self._leased(row, _task_of(row, spec, checkpoints))
        except LeaseLost:
            log.warning("task_let_go")
        except ServiceError as error:
            await self._failed(row, spec, checkpoints, error, message)
        else:
            await self._end(row, spec, Status.COMPLETED, result=result.model_dump_json())
        finally:
            context.detach(attached)

    async def _leased(self, row: Row, task: Task) -> RunResult:
        if task.deadline_seconds is not None and task.deadline_seconds <= 0:
            raise DeadlineExceeded("Its deadline passed before it was done.")
        running = asyncio.create_task(self._runner.run(task))
        keeping = asyncio.create_task(self._keep(row))
        try:
            await asyncio.wait({running, keeping}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                raise LeaseLost
            return running.result()
        finally:
            running.cancel()
            keeping.cancel()
            await asyncio.gather(running, keeping, return_exceptions=True)

    async def _keep(self, row: Row) -> None:
        """Renews the lease; returns when it is lost."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                until = now_ms() + int(LEASE_SECONDS * 1000)
                if await self._tasks.table.change(row.tenant, row.id, _MINE, _mine(row), lease_until=until) is None:
                    return
            except ServiceError as error:
                log.warning("lease_not_renewed", error=error.slug)

    async def _failed(
        self, row: Row, spec: Spec, checkpoints: Checkpoints, error: ServiceError, message: SQSRecord
    ) -> None:
        """Ends the task, or gives it back where another delivery may do better."""
        in_time = now_ms() < row.deadline_at
        passing = error.status == 429 or (worth_another(error) and in_time)
        if error.status != 500 and not passing:
            return await self._end(row, spec, Status.FAILED, error=error)
        if error.status == 500 or row.attempt >= self._settings.attempts or isinstance(error, BudgetExceeded):
            await self._end(row, spec, Status.DEAD, error=error)
            await self._give_back(message, 0)
        await self._tasks.table.change(
            row.tenant, row.id, _MINE, _mine(row), status=Status.QUEUED.value, lease_until=0, **checkpoints.booked()
        )
        await self._give_back(message, pause(row.attempt, error.retry_after, self._settings))

    async def _give_back(self, message: SQSRecord, seconds: float) -> None:
        """Raises:
        NotDone: always; the message is seen again after so many seconds.
        """
        await self._tasks.asked(
            "change_message_visibility", ReceiptHandle=message.receipt_handle, VisibilityTimeout=round(seconds)
        )
        raise NotDone(f"given back for {seconds:.0f} s")

    async def _end(
        self, row: Row, spec: Spec, status: Status, *, result: str = "", error: ServiceError | None = None
    ) -> None:
        ended = await self._tasks.table.change(
            row.tenant, row.id, _MINE, _mine(row), **end(status, result=result, error=error)
        )
        if ended is None:
            log.warning("task_let_go")  # cancelled or taken over meanwhile: what came of it here counts for nothing
            return
        meters.TASKS.add(1, {"outcome": status.value})
        log.info("task", outcome=status.value)
        self._service.audit.record("task", actor=spec.actor, outcome=status.value, tenant=spec.tenant, task=row.id)


def _task_of(row: Row, spec: Spec, checkpoints: Checkpoints) -> Task:
    return Task(
        input=spec.request.input,
        tenant=spec.tenant,
        actor=spec.actor,
        conversation_id=spec.request.conversation_id,
        metadata=spec.request.metadata or {},
        deadline_seconds=(row.deadline_at - now_ms()) / 1000,
        earlier=checkpoints.earlier,
        run_id=row.id,
    )


def _mine(row: Row) -> dict[str, Any]:
    return {"running": Status.RUNNING.value, "owner": row.owner}
