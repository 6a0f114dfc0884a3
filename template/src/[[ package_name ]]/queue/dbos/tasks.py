"""The queue as its clients see it: submit, cancel, retry; queries.py has what only reads."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import structlog
from dbos import EnqueueOptions, error
from sqlalchemy import Connection

from ...config.settings import Settings
from ...errors import Conflict, DeadlineExceeded, StateUnavailable
from ...runs.accounts import check_audit
from ...runs.inputs import clean_input
from ...telemetry.audit import Audit
from .. import meters
from ..records import Spec, Status, TaskRequest, TaskView
from . import changes, internals
from .database import BATCHES, QUEUE, WORKFLOW, Database
from .events import CloudEvent, Events, event_of
from .queries import Queries, stored_id, view_of
from .serial import JsonSerializer, TaskEnded

if TYPE_CHECKING:  # it imports the agent's runtime, which a command does not need
    from ...models.routing import Models

log = structlog.get_logger(__name__)

OVERDUE_SECONDS = 15.0  # a worker that is alive ends its tasks at their deadline by itself


class Tasks(Queries):
    """Made once a process, closed with its database."""

    def __init__(self, settings: Settings, database: Database, audit: Audit, models: "Models | None" = None) -> None:
        super().__init__(database)
        self._settings = settings
        self._audit = audit
        self._models = models
        self.events = Events(settings.events, self._client)
        internals.read_json_only(self._refused)
        internals.go_by(database.time)

    async def get(self, task_id: str, *, tenant: str) -> TaskView:
        """Raises:
        NotFound: also for another tenant's task.
        """
        known = await self._known(tenant, task_id, answers=True)
        if known.foreign:
            self._refused(task_id, tenant)
        return view_of(known)

    async def submit(self, request: TaskRequest, *, tenant: str, actor: str) -> tuple[TaskView, bool]:
        """Stores a task. The result is the task, and whether it was there already.

        Raises:
            AuditUnavailable: nothing is stored, because no trail would have it.
            InvalidInput: nothing is stored.
            Conflict: the id belongs to another request.
            Overloaded: QUEUE__MAX_DEPTH tasks are waiting, or as many delayed ones, and the tenant has its share.
            StateUnavailable: the database cannot be reached; nothing is stored.
        """
        check_audit(self._audit)
        clean_input(request.input, self._settings.run.max_input_chars)
        if request.urgency == "batch" and self._models:
            from .batches.provider import check_batch_api

            check_batch_api(self._models)
        delayed = request.delay_seconds > 0
        await self._gauge.admit(self._settings.queue.max_depth, tenant, delayed=delayed)
        spec = Spec.of(request, tenant=tenant, actor=actor)
        queue = BATCHES if request.urgency == "batch" else QUEUE
        patience = request.deadline_seconds or self._patience(queue)
        options: EnqueueOptions = {
            "workflow_name": WORKFLOW,
            "queue_name": queue,
            "workflow_id": stored_id(tenant, spec.task_id),
            "workflow_id_reuse_policy": "reject",
            "queue_partition_key": tenant,
            "priority": request.priority,
            "authenticated_user": tenant,
            "attributes": {"fingerprint": spec.fingerprint()},
        }
        if delayed:
            options["delay_seconds"] = request.delay_seconds
        try:
            await self._asked(partial(asyncio.to_thread, self._store, options, spec, request.delay_seconds + patience))
        except error.DBOSWorkflowIDInUseError:
            known = await self._known(tenant, spec.task_id, answers=True)
            if known.attributes.get("fingerprint") != spec.fingerprint():
                raise Conflict(f"Task {spec.task_id} is known with another request; use a new id.") from None
            return view_of(known), True
        self._gauge.count_one(tenant, delayed=delayed)
        self._audit.record("task.submit", actor=actor, outcome="ok", tenant=tenant, task=spec.task_id)
        now = datetime.now(UTC)
        return TaskView(id=spec.task_id, tenant=tenant, status=Status.QUEUED, created_at=now), False

    async def cancel(self, task_id: str, *, tenant: str, actor: str) -> TaskView:
        """Ends a task and breaks off its model call.

        Raises:
            NotFound: also for another tenant's task.
            Conflict: it has ended already; the detail says how.
        """
        cancelled = await self._asked(partial(asyncio.to_thread, self._cancel, stored_id(tenant, task_id)))
        view = view_of(await self._known(tenant, task_id))
        if not cancelled:
            raise Conflict(f"Task {task_id} has ended already: {view.status}.")
        self._audit.record("task.cancel", actor=actor, outcome="ok", tenant=tenant, task=task_id)
        meters.count_task(Status.CANCELLED)
        return view

    async def retry(self, task_id: str, *, tenant: str, actor: str) -> TaskView:
        """Gives a failed or dead task another chance. It does not repeat what it had finished.

        Raises:
            NotFound: also for another tenant's task.
            Conflict: it is neither failed nor dead.
            AuditUnavailable: see `submit`.
        """
        check_audit(self._audit)
        known = await self._known(tenant, task_id)
        if (view := view_of(known)).status not in (Status.FAILED, Status.DEAD):
            raise Conflict(f"Task {task_id} is {view.status}; only failed and dead tasks can be retried.")
        workflow_id = known.id
        steps = await self._asked(partial(self._client.list_workflow_steps_async, workflow_id))
        failed = [step["function_id"] for step in steps if step["error"] is not None]
        done = [step["function_id"] for step in steps]
        again = min(failed, default=max(done, default=0) + 1)
        queue = known.queue or QUEUE
        afresh = {"deadline_at": known.now + self._patience(queue), "strikes": 0}
        await self._asked(partial(self._client.update_workflow_attributes_async, workflow_id, afresh, merge=True))
        rewind = self._client.rewind_workflow_async
        await self._asked(partial(rewind, workflow_id, start_step=again, queue_name=queue, queue_partition_key=tenant))
        self._audit.record("task.retry", actor=actor, outcome="ok", tenant=tenant, task=task_id)
        return await self.get(task_id, tenant=tenant)

    async def strike(self, workflow_id: str, strikes: int) -> None:
        """Notes, before a suspected task is run, how often it was run so. Waits until the database can do it."""
        note = partial(self._client.update_workflow_attributes_async, workflow_id, {"strikes": strikes}, merge=True)
        while True:
            with suppress(StateUnavailable):
                return await self._asked(note)
            await asyncio.sleep(meters.SAMPLE_SECONDS)

    async def end_overdue(self) -> None:
        """Ends tasks whose deadline has passed, and that no worker has ended."""
        for spec in await self._asked(partial(asyncio.to_thread, self._end_overdue)):
            self.account(spec, Status.FAILED)

    def account(self, spec: Spec, outcome: str) -> None:
        """Counts, logs and audits the end of a task."""
        meters.count_task(outcome)
        log.info("task", outcome=outcome, task_id=spec.task_id, tenant=spec.tenant)
        self._audit.record("task", actor=spec.actor, outcome=outcome, tenant=spec.tenant, task=spec.task_id)

    def _refused(self, task_id: str | None = None, tenant: str | None = None) -> None:
        log.error("foreign_form", task_id=task_id)
        self._audit.record("task.read", actor="database", outcome="refused", tenant=tenant, task=task_id)

    def close(self) -> None:
        self._client.destroy()

    def _end_overdue(self) -> list[Spec]:
        ended = TaskEnded(TaskEnded.FAILED, DeadlineExceeded.slug, "Its deadline passed before it was done.")
        error = JsonSerializer().serialize(ended)
        specs = []
        with self.database.turn, self.database.engine.begin() as connection:
            for workflow_id, inputs in changes.end_overdue(connection, self.database, OVERDUE_SECONDS, error):
                specs.append(spec := _spec(inputs))
                self._tell(connection, event_of(ended.status, workflow_id, spec, ended.failure))
        return specs

    def _cancel(self, workflow_id: str) -> bool:
        with self.database.turn, self.database.engine.begin() as connection:
            inputs = changes.cancel(connection, self.database, workflow_id)
            if inputs is not None:
                self._tell(connection, event_of(Status.CANCELLED, workflow_id, _spec(inputs)))
        return inputs is not None

    def _store(self, options: EnqueueOptions, spec: Spec, seconds: float) -> None:
        """Stores a task, which is given up after so many seconds."""
        with self.database.turn, self.database.engine.begin() as connection:
            options["attributes"] = {**options["attributes"], "deadline_at": self.database.clock(connection) + seconds}
            self._client.enqueue_in_transaction(connection, options, spec.model_dump_json())
            self._tell(connection, event_of("accepted", options["workflow_id"], spec))

    def _tell(self, connection: Connection, event: CloudEvent) -> None:
        """Stores an event in the transaction of the change that it tells of."""
        for delivery in self.events.first(event):
            self._client.enqueue_in_transaction(connection, *delivery)

    def _patience(self, queue: str) -> float:
        """Seconds before a task without a deadline of its own is given up."""
        settings = self._settings.queue
        return settings.batch_deadline_seconds if queue == BATCHES else settings.deadline_seconds


def _spec(inputs: str) -> Spec:
    """The spec in a stored task's inputs."""
    [text] = JsonSerializer().deserialize(inputs)["args"]
    return Spec.model_validate_json(text)
