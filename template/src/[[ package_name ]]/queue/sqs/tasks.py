"""The queue as its clients see it: a DynamoDB table keeps the tasks, SQS delivers them. See docs/queue.md."""

import json
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from ...config.settings import Settings
from ...errors import Conflict, NotFound, StateUnavailable
from ...guard import BulkheadFull, CircuitOpen, Guards
from ...guard.aws import AwsError, transient
from ...runs.accounts import check_audit
from ...runs.inputs import clean_input
from ...telemetry.audit import Audit
from ..meters import Depth, Gauge
from ..records import Page, Place, Spec, Status, TaskRequest, TaskView
from .rows import ROW_BYTES, Row, check_size, end, now_ms, view_of
from .table import Table, client, unavailable

if TYPE_CHECKING:
    from ...service import Service  # it imports the agent, which a command does not need

LONGEST_DELAY = 900  # seconds that SQS holds a message back; a longer delay takes several messages


class Tasks:
    """Made once a process, closed at its end."""

    def __init__(self, settings: Settings, guards: Guards, audit: Audit) -> None:
        self._settings = settings
        self._audit = audit
        name, days = settings.serverless.tasks_table or "", settings.queue.retention_days
        self.table = Table(name, client("dynamodb", settings), guards, days)
        self._sqs = client("sqs", settings)
        self._guard = guards.get("tasks_queue", transient, timeout_seconds=5.0)
        self._gauge = Gauge(self._depth)

    async def submit(self, request: TaskRequest, *, tenant: str, actor: str) -> tuple[TaskView, bool]:
        """Stores a task and sends its message. The result is the task, and whether it was there already.

        Raises:
            InvalidInput, AuditUnavailable: nothing is stored.
            Conflict: the id belongs to another request.
            Overloaded: QUEUE__MAX_DEPTH tasks are waiting.
            StateUnavailable: AWS cannot be reached.
        """
        check_audit(self._audit)
        clean_input(request.input, self._settings.run.max_input_chars)
        spec, now = Spec.of(request, tenant=tenant, actor=actor), now_ms()
        stored = spec.model_dump_json()
        check_size(ROW_BYTES // 2, stored)
        await self._gauge.admit(self._settings.queue.max_depth)
        begins = now + int(request.delay_seconds * 1000)
        row = Row(
            tenant=tenant,
            id=spec.task_id,
            spec=stored,
            fingerprint=spec.fingerprint(),
            created=f"{now:014d}#{spec.task_id}",
            created_at=now,
            deadline_at=begins + int((request.deadline_seconds or self._settings.queue.deadline_seconds) * 1000),
            not_before=begins,
        )
        if not await self.table.put(row):
            known = await self._known(tenant, row.id)
            if known.fingerprint != row.fingerprint:
                raise Conflict(f"Task {row.id} is known with another request; use a new id.")
            if known.status == Status.QUEUED and not known.attempt:
                await self.send(known)  # the first submission may have failed before its message; two are one task
            return self.view(known), True
        try:
            await self.send(row)
        except StateUnavailable:
            with suppress(StateUnavailable):
                await self.table.delete(tenant, row.id)  # without a message nothing would ever do it
            raise
        self._gauge.count_one()
        self._audit.record("task.submit", actor=actor, outcome="ok", tenant=tenant, task=row.id)
        return self.view(row), False

    async def get(self, task_id: str, *, tenant: str) -> TaskView:
        """The task; NotFound is raised for another tenant's as well."""
        return self.view(await self._known(tenant, task_id))

    async def stamps(self, places: list[tuple[str, str]]) -> dict[tuple[str, str], object]:
        """For each of these tasks, named by tenant and id, a value that changes with the task."""
        return {(tenant, task_id): await self.get(task_id, tenant=tenant) for tenant, task_id in places}

    async def page(self, *, tenant: str | None, status: Status | None, cursor: str | None, limit: int) -> Page:
        """Some of a tenant's tasks, newest first (of all tenants', in no order). New tasks appear after a moment."""
        place = Place.read(cursor)
        views: list[TaskView] = []
        behind = place.skip
        async for row in self.table.newest(tenant, place.milliseconds):
            if row is None or len(views) == limit:  # there may be more
                return Page(tasks=views, next_cursor=str(place))
            if behind:
                behind -= 1
                continue
            place = place.after(row.created_at if tenant is not None else 0)  # without an order, by number alone
            if status in (None, (view := self.view(row)).status):
                views.append(view.model_copy(update={"result": None}))  # an answer may be large, and the page not
        return Page(tasks=views)

    async def cancel(self, task_id: str, *, tenant: str, actor: str) -> TaskView:
        """Ends a task. The function that runs it finds out when it renews its lease.

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
        """Gives a failed or dead task another chance. Its models are not asked again for answers that they have given.

        Raises:
            NotFound: also for another tenant's task.
            Conflict: it is neither failed nor dead.
        """
        check_audit(self._audit)
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
                kept_before=known.kept,
                error="",
                deadline_at=now_ms() + int(self._settings.queue.deadline_seconds * 1000),
            )
        elif status is not Status.QUEUED or known.attempt:  # a queued one may lack its message after a failed retry
            raise Conflict(f"Task {task_id} is {status}; only failed and dead tasks can be retried.")
        if afresh is None:
            raise Conflict(f"Task {task_id} was changed meanwhile; try again.")
        await self.send(afresh)
        self._audit.record("task.retry", actor=actor, outcome="ok", tenant=tenant, task=task_id)
        return self.view(afresh)

    async def reachable(self) -> bool:
        with suppress(StateUnavailable):
            await self.table.reachable()
            return True
        return False

    async def send(self, row: Row) -> None:
        """Sends a task's message, for its time or as near it as SQS can. It names its tenant: SQS delivers fairly."""
        wait = min(math.ceil(max(0, row.not_before - now_ms()) / 1000), LONGEST_DELAY)
        body = json.dumps({"tenant": row.tenant, "id": row.id})
        await self.asked("send_message", MessageBody=body, DelaySeconds=wait, MessageGroupId=row.tenant)

    async def asked(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The answer of SQS.

        Raises:
            StateUnavailable: there is none.
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

    async def _depth(self) -> Depth:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed"]
        found = (await self.asked("get_queue_attributes", AttributeNames=names))["Attributes"]
        return Depth(int(found[names[0]]), delayed=int(found[names[1]]))


@asynccontextmanager
async def connected(settings: Settings, guards: Guards, audit: Audit) -> AsyncGenerator[Tasks]:
    """The queue, closed at the end."""
    async with aclosing(Tasks(settings, guards, audit)) as tasks:
        yield tasks


@asynccontextmanager
async def open_tasks(service: "Service") -> AsyncGenerator[Tasks]:
    """The queue of a running service."""
    async with connected(service.settings, service.guards, service.audit) as tasks:
        yield tasks
