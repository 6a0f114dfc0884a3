"""Reading tasks from the database. Reads take no locks that a writer waits for."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog
from dbos import DBOSClient, WorkflowStatus

from ...errors import NotFound, StateUnavailable
from ...runs.task import RunResult
from ..meters import SAMPLE_SECONDS, Depth, Gauge
from ..records import Failure, Page, Place, Status, TaskView, moment
from .database import WORKFLOW, Database, Unreachable
from .internals import depth, stamps
from .serial import TaskEnded

log = structlog.get_logger(__name__)
T = TypeVar("T")

_SCAN = 100  # rows that are read at once, where the error of each says its status
# In DBOS' words. `failed` and `dead` are both ERROR; the error says which.
_STORED: dict[Status, list[str]] = {
    Status.QUEUED: ["ENQUEUED", "DELAYED"],
    Status.RUNNING: ["PENDING"],
    Status.COMPLETED: ["SUCCESS"],
    Status.FAILED: ["ERROR"],
    Status.DEAD: ["ERROR"],
    Status.CANCELLED: ["CANCELLED"],
}


@dataclass(frozen=True)
class Facts:
    """The changing part of a task: how often its worker died, how often it was run as a suspect (see workflow.py), when
    (seconds since 1970) it is given up, whether it was cancelled."""

    takeovers: int
    strikes: int
    deadline_at: float
    cancelled: bool


class Queries:
    """The questions that anybody may ask. The answers are of now, except for `sample`'s."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._client: DBOSClient = database.client()
        self._gauge = Gauge(partial(self._asked, partial(asyncio.to_thread, depth, database)))

    async def get(self, task_id: str, *, tenant: str) -> TaskView:
        """Raises:
        NotFound: also for another tenant's task.
        """
        return view_of(await self._known(tenant, task_id))

    async def page(self, *, tenant: str | None, status: Status | None, cursor: str | None, limit: int) -> Page:
        """Some of a tenant's tasks (of all tenants' without one), newest first.

        Raises:
            InvalidInput: the cursor is not one of ours.
        """
        place = Place.read(cursor)
        views: list[TaskView] = []
        while True:
            until = None if place.milliseconds is None else moment(place.milliseconds + 0.5).isoformat()
            rows = await self._asked(
                partial(
                    self._client.list_workflows_async,
                    name=WORKFLOW,
                    user=tenant,
                    status=_STORED[status] if status else None,
                    end_time=until,
                    offset=place.skip,
                    sort_desc=True,
                    load_input=False,
                    limit=_SCAN,
                )
            )
            for row in rows:
                place = place.after(row.created_at or 0)
                view = view_of(row)
                if status in (None, view.status):
                    views.append(view)
                if len(views) == limit:
                    return Page(tasks=views, next_cursor=str(place))
            if len(rows) < _SCAN:
                return Page(tasks=views)

    async def stamps(self, places: list[tuple[str, str]]) -> dict[tuple[str, str], object]:
        """For each of these tasks, named by tenant and id, a value that changes with the task."""
        ids = {stored_id(*place): place for place in places}
        found = await self._asked(partial(asyncio.to_thread, stamps, self._database, list(ids)))
        return {ids[workflow_id]: stamp for workflow_id, stamp in found.items()}

    async def facts(self, workflow_id: str) -> Facts:
        """What a worker has to know of a task that it has begun. Waits until the database can say it."""
        tenant, _, task_id = workflow_id.partition("/")
        while True:
            with suppress(StateUnavailable):
                known = await self._known(tenant, task_id)
                view = view_of(known)
                kept = known.attributes or {}
                cancelled = view.status is Status.CANCELLED
                return Facts(view.takeovers, kept.get("strikes", 0), float(kept["deadline_at"]), cancelled)
            await asyncio.sleep(SAMPLE_SECONDS)

    async def reachable(self) -> bool:
        """Whether the database answers."""
        with suppress(StateUnavailable):
            await self.sample(0.0)
            return True
        return False

    async def sample(self, seconds: float = SAMPLE_SECONDS) -> Depth:
        """The depth of the queue, at most so many `seconds` old."""
        return await self._gauge.read(seconds)

    async def _known(self, tenant: str, task_id: str) -> WorkflowStatus:
        task = stored_id(tenant, task_id)
        find = partial(self._client.list_workflows_async, workflow_ids=[task], name=WORKFLOW, load_input=False)
        if rows := await self._asked(find):
            return rows[0]
        raise NotFound(f"There is no task {task_id}.")

    async def _asked(self, question: Callable[[], Awaitable[T]]) -> T:
        try:
            return await question()
        except Unreachable as failure:
            log.warning("queue_database_unreachable", error=type(failure).__name__)
            raise StateUnavailable("The queue's database cannot be reached.", retry_after=2) from failure


def view_of(found: WorkflowStatus) -> TaskView:
    """The view of a workflow."""
    status = next(status for status, names in _STORED.items() if found.status in names)
    error = None
    if isinstance(found.error, TaskEnded):
        status = Status(found.error.status)
        error = Failure(type=f"urn:problem:{found.error.slug}", detail=found.error.detail)
    elif status is Status.FAILED:
        error = Failure(type="urn:problem:internal", detail="An unexpected error; it is in the log.")
    return TaskView(
        id=public_id(found.workflow_id),
        tenant=found.authenticated_user or "",
        status=status,
        created_at=moment(found.created_at or 0),
        started_at=moment(found.dequeued_at) if found.dequeued_at else None,
        finished_at=moment(found.completed_at) if found.completed_at else None,
        takeovers=max(0, (found.recovery_attempts or 1) - 1),
        result=RunResult.model_validate_json(found.output) if found.output else None,
        error=error,
    )


def stored_id(tenant: str, task_id: str) -> str:
    """The id of a task's workflow. Ids are a tenant's own: another tenant's task is not even found."""
    return f"{tenant}/{task_id}"


def public_id(stored: str) -> str:
    return stored.partition("/")[2]
