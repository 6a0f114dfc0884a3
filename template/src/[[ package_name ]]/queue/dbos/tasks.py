"""The queue as its clients see it: submit, cancel, retry; queries.py has what only reads."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial

from dbos import EnqueueOptions, error

from ...config.settings import Settings
from ...errors import Conflict, StateUnavailable
from ...models.routing import Models
from ...runs.inputs import clean_input
from ...service import Service
from ...telemetry.audit import Audit
from .. import meters
from ..records import Spec, Status, TaskRequest, TaskView
from .batches.provider import check_batch_api
from .database import BATCHES, QUEUE, WORKFLOW, Database
from .events import Events, event_of
from .internals import log_as_everybody
from .queries import Queries, stored_id, view_of


class Tasks(Queries):
    """Made once a process, closed with its database."""

    def __init__(self, settings: Settings, database: Database, audit: Audit, models: Models | None = None) -> None:
        super().__init__(database)
        self._settings = settings
        self.database = database
        self._audit = audit
        self._models = models
        self.events = Events(settings.events, self._client)

    async def submit(self, request: TaskRequest, *, tenant: str, actor: str) -> tuple[TaskView, bool]:
        """Stores a task. The result is the task, and whether it was there already.

        Raises:
            InvalidInput: nothing is stored.
            Conflict: the id belongs to another request.
            Overloaded: QUEUE__MAX_DEPTH tasks are waiting.
            StateUnavailable: the database cannot be reached; nothing is stored.
        """
        clean_input(request.input, self._settings.run.max_input_chars)
        if request.urgency == "batch" and self._models:
            check_batch_api(self._models)
        await self._gauge.admit(self._settings.queue.max_depth)
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
            "attributes": {
                "fingerprint": spec.fingerprint(),
                "deadline_at": time.time() + request.delay_seconds + patience,
            },
        }
        if request.delay_seconds:
            options["delay_seconds"] = request.delay_seconds
        try:
            await self._asked(partial(asyncio.to_thread, self._store, options, spec))
        except error.DBOSWorkflowIDInUseError:
            known = await self._known(tenant, spec.task_id)
            if (known.attributes or {}).get("fingerprint") != spec.fingerprint():
                raise Conflict(f"Task {spec.task_id} is known with another request; use a new id.") from None
            return view_of(known), True
        self._gauge.count_one()
        self._audit.record("task.submit", actor=actor, outcome="ok", tenant=tenant, task=spec.task_id)
        now = datetime.now(UTC)
        return TaskView(id=spec.task_id, tenant=tenant, status=Status.QUEUED, created_at=now), False

    async def cancel(self, task_id: str, *, tenant: str, actor: str) -> TaskView:
        """Ends a task and breaks off its model call.

        Raises:
            NotFound: also for another tenant's task.
            Conflict: it has ended already; the detail says how.
        """
        view = await self.get(task_id, tenant=tenant)
        if not view.status.final:
            await self._asked(partial(self._client.cancel_workflow_async, stored_id(tenant, task_id)))
            view = await self.get(task_id, tenant=tenant)
            if view.status is Status.CANCELLED:
                self._audit.record("task.cancel", actor=actor, outcome="ok", tenant=tenant, task=task_id)
                meters.TASKS.add(1, {"outcome": Status.CANCELLED})
                return view
        raise Conflict(f"Task {task_id} has ended already: {view.status}.")

    async def retry(self, task_id: str, *, tenant: str, actor: str) -> TaskView:
        """Gives a failed or dead task another chance. It does not repeat what it had finished.

        Raises:
            NotFound: also for another tenant's task.
            Conflict: it is neither failed nor dead.
        """
        known = await self._known(tenant, task_id)
        if (view := view_of(known)).status not in (Status.FAILED, Status.DEAD):
            raise Conflict(f"Task {task_id} is {view.status}; only failed and dead tasks can be retried.")
        workflow_id = known.workflow_id
        steps = await self._asked(partial(self._client.list_workflow_steps_async, workflow_id))
        failed = [step["function_id"] for step in steps if step["error"] is not None]
        done = [step["function_id"] for step in steps]
        again = min(failed, default=max(done, default=0) + 1)
        queue = known.queue_name or QUEUE
        afresh = {"deadline_at": time.time() + self._patience(queue), "strikes": 0}
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

    def close(self) -> None:
        self._client.destroy()

    def _store(self, options: EnqueueOptions, spec: Spec) -> None:
        """Stores the task and the events about it, in one transaction."""
        with self.database.turn, self.database.engine.begin() as connection:
            self._client.enqueue_in_transaction(connection, options, spec.model_dump_json())
            for event in self.events.first(event_of("accepted", options["workflow_id"], spec)):
                self._client.enqueue_in_transaction(connection, *event)

    def _patience(self, queue: str) -> float:
        """Seconds before a task without a deadline of its own is given up."""
        settings = self._settings.queue
        return settings.batch_deadline_seconds if queue == BATCHES else settings.deadline_seconds


@asynccontextmanager
async def connected(settings: Settings, audit: Audit, models: Models | None = None) -> AsyncGenerator[Tasks]:
    """The queue, closed at the end. Without `models` a submission is not checked for their batch API."""
    log_as_everybody()
    database = Database(settings.queue.database_url.get_secret_value())
    try:
        await asyncio.to_thread(database.prepare)
        tasks = Tasks(settings, database, audit, models)
        yield tasks
        tasks.close()
    finally:
        database.close()


@asynccontextmanager
async def open_tasks(service: Service) -> AsyncGenerator[Tasks]:
    """The queue of a running service."""
    async with connected(service.settings, service.audit, service.runner.models) as tasks:
        yield tasks
