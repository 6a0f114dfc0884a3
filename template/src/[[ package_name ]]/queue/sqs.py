"""Tasks on AWS: a table knows them, an SQS queue tells the functions of them. See docs/serverless.md."""

import json
import math
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from opentelemetry import propagate

from ..config.settings import Settings
from ..errors import Conflict, NotFound, Overloaded, StateUnavailable, Unsupported
from ..guard import BulkheadFull, CircuitOpen, Guards
from ..guard.aws import Aws, AwsError, transient
from ..runs.sanitize import clean_input
from ..service import Service
from ..telemetry.audit import Audit
from .cursor import Place
from .records import Page, Spec, Status, TaskRequest, TaskView
from .rows import Row, end, now_ms, view_of
from .table import Table, unavailable

LONGEST_DELAY = 900  # seconds that SQS holds a message back; a longer delay takes several
_SAMPLE_SECONDS = 1.0


class SqsTasks:
    """A TaskQueue, see records.py."""

    def __init__(self, settings: Settings, guards: Guards, audit: Audit) -> None:
        self._settings = settings
        self._audit = audit
        name, days = settings.serverless.tasks_table or "", settings.queue.retention_days
        self.table = Table(name, Aws("dynamodb"), guards, days)
        self._sqs = Aws("sqs")
        self._guard = guards.get("tasks_queue", transient, timeout_seconds=5.0)
        self._waiting, self._sampled = 0, float("-inf")

    async def submit(self, request: TaskRequest, *, tenant: str, actor: str) -> tuple[TaskView, bool]:
        """Stores a task and tells the functions of it; the task, and whether it was there already.

        Raises:
            InvalidInput, Unsupported: nothing is stored; the latter asks for what SQS cannot do.
            Conflict: the id belongs to another request.
            Overloaded: QUEUE__MAX_DEPTH tasks are waiting.
            StateUnavailable: AWS cannot be reached.
        """
        clean_input(request.input, self._settings.run.max_input_chars)
        if request.urgency != "normal" or request.priority != TaskRequest.model_fields["priority"].default:
            raise Unsupported("On AWS Lambda tasks have no urgency and no priority; leave them out.")
        await self._make_sure_of_room()
        request = request.model_copy(update={"id": request.id or uuid.uuid4().hex})
        trace: dict[str, str] = {}
        propagate.inject(trace)
        spec, now = Spec(request=request, tenant=tenant, actor=actor, trace=trace), now_ms()
        begins = now + int(request.delay_seconds * 1000)
        row = Row(
            tenant=tenant,
            id=str(request.id),
            spec=spec.model_dump_json(),
            fingerprint=spec.fingerprint(),
            created=f"{now:014d}#{request.id}",
            created_at=now,
            deadline_at=begins + int((request.deadline_seconds or self._settings.queue.deadline_seconds) * 1000),
            not_before=begins,
        )
        if not await self.table.put(row):
            known = await self._known(tenant, row.id)
            if known.fingerprint != row.fingerprint:
                raise Conflict(f"Task {row.id} is known with another request; use a new id.")
            if known.status == Status.QUEUED and not known.attempt:
                await self.send(known)  # who stored it may not have come to telling of it; told twice, it is one task
            return self.view(known), True
        try:
            await self.send(row)
        except StateUnavailable:
            with suppress(StateUnavailable):
                await self.table.delete(tenant, row.id)  # nobody would ever do it
            raise
        self._audit.record("task.submit", actor=actor, outcome="ok", tenant=tenant, task=row.id)
        return self.view(row), False

    async def get(self, task_id: str, *, tenant: str) -> TaskView:
        """Raises:
        NotFound: also for another tenant's task.
        """
        return self.view(await self._known(tenant, task_id))

    async def page(self, *, tenant: str | None, status: Status | None, cursor: str | None, limit: int) -> Page:
        """Some of a tenant's tasks, newest first (of all tenants', in no order). New ones are in it after a moment."""
        place = Place.read(cursor)
        views: list[TaskView] = []
        behind = place.skip
        async for row in self.table.newest(tenant, place.milliseconds):
            if behind:
                behind -= 1
                continue
            place = place.after(row.created_at)
            view = self.view(row)
            if status in (None, view.status):
                views.append(view)
            if len(views) == limit:
                return Page(tasks=views, next_cursor=str(place))
        return Page(tasks=views)

    async def cancel(self, task_id: str, *, tenant: str, actor: str) -> TaskView:
        """Ends a task; who runs it finds out when it renews its lease.

        Raises:
            NotFound: also for another tenant's task.
            Conflict: it has ended already; the detail says how.
        """
        known = await self.get(task_id, tenant=tenant)
        given: dict[str, str | int] = {"queued": Status.QUEUED.value, "running": Status.RUNNING.value}
        going_on = "#status IN (:given_queued, :given_running)"
        cancelled = None
        if not known.status.final:
            values = end(Status.CANCELLED, self.table.retention_days)
            cancelled = await self.table.change(tenant, task_id, going_on, given, **values)
        if cancelled is None:
            raise Conflict(f"Task {task_id} has ended already: {(await self.get(task_id, tenant=tenant)).status}.")
        self._audit.record("task.cancel", actor=actor, outcome="ok", tenant=tenant, task=task_id)
        return self.view(cancelled)

    async def retry(self, task_id: str, *, tenant: str, actor: str) -> TaskView:
        """Gives a failed or dead task another chance; what its models have answered they are not asked again.

        Raises:
            NotFound: also for another tenant's task.
            Conflict: it is neither failed nor dead.
        """
        known = await self._known(tenant, task_id)
        status = self.view(known).status
        afresh: Row | None = known
        if status in (Status.FAILED, Status.DEAD):
            afresh = await self.table.change(
                tenant,
                task_id,
                "#status = :given_status AND #lease_until = :given_lease",
                {"status": known.status, "lease": known.lease_until},
                status=Status.QUEUED.value,
                attempt=0,
                error="",
                deadline_at=now_ms() + int(self._settings.queue.deadline_seconds * 1000),
            )
        elif status is not Status.QUEUED or known.attempt:  # who made it queued may not have come to telling of it
            raise Conflict(f"Task {task_id} is {status}; only failed and dead tasks can be retried.")
        if afresh is None:
            raise Conflict(f"Task {task_id} was changed meanwhile; try again.")
        await self.send(afresh)
        self._audit.record("task.retry", actor=actor, outcome="ok", tenant=tenant, task=task_id)
        return self.view(afresh)

    async def reachable(self) -> bool:
        try:
            await self.table.reachable()
        except StateUnavailable:
            return False
        return True

    async def send(self, row: Row) -> None:
        """Tells the functions of a task, once its time has come or as near to it as SQS can."""
        wait = math.ceil(max(0, row.not_before - now_ms()) / 1000)
        body = json.dumps({"tenant": row.tenant, "id": row.id})
        await self.asked("send_message", MessageBody=body, DelaySeconds=min(wait, LONGEST_DELAY))

    async def asked(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """What SQS answers.

        Raises:
            StateUnavailable: it does not.
        """
        url = self._settings.serverless.queue_url
        try:
            return await self._guard.call(lambda: self._sqs.call(operation, QueueUrl=url, **parameters))
        except (AwsError, OSError, TimeoutError, CircuitOpen, BulkheadFull) as error:
            raise unavailable(error) from error

    def view(self, row: Row) -> TaskView:
        return view_of(row, self._settings.queue.attempts)

    async def aclose(self) -> None:
        await self.table.aclose()
        await self._sqs.aclose()

    async def _known(self, tenant: str, task_id: str) -> Row:
        row = await self.table.get(tenant, task_id)
        if row is None:
            raise NotFound(f"There is no task {task_id}.")
        return row

    async def _make_sure_of_room(self) -> None:
        if time.monotonic() - self._sampled > _SAMPLE_SECONDS:
            found = await self.asked("get_queue_attributes", AttributeNames=["ApproximateNumberOfMessages"])
            self._waiting = int(found["Attributes"]["ApproximateNumberOfMessages"])
            self._sampled = time.monotonic()
        limit = self._settings.queue.max_depth
        if self._waiting >= limit:
            raise Overloaded(f"{limit} tasks are waiting already; come back later.", retry_after=10)
        self._waiting += 1


@asynccontextmanager
async def open_sqs_tasks(service: Service) -> AsyncGenerator[SqsTasks]:
    """Closed at the end."""
    tasks = SqsTasks(service.settings, service.guards, service.audit)
    try:
        yield tasks
    finally:
        await tasks.aclose()
