"""Tasks as they stand: what is asked of the database. Reads take no locks that a writer waits for."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog
from dbos import DBOSClient, WorkflowStatus

from ..errors import NotFound, StateUnavailable
from .cursor import Place
from .database import WORKFLOW, Database, Depth, Unreachable
from .depth import Gauge
from .records import Page, Status, TaskView, stored_id
from .views import STORED, view_of

log = structlog.get_logger(__name__)
T = TypeVar("T")

SAMPLE_SECONDS = 1.0
_SCAN = 100  # rows that are read at once where the status stands in the error


@dataclass(frozen=True)
class Facts:
    """What changes about a task: how often its worker died, how often it was run as a suspect (see workflow.py), when
    (seconds since 1970) it is given up, its end."""

    takeovers: int
    strikes: int
    deadline_at: float
    cancelled: bool


class Queries:
    """What anybody may ask. The answers are of now, but for `sample`'s."""

    def __init__(self, database: Database) -> None:
        self._client: DBOSClient = database.client()
        self._gauge = Gauge(database)

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
            rows = await self._asked(
                partial(
                    self._client.list_workflows_async,
                    name=WORKFLOW,
                    user=tenant,
                    status=STORED[status] if status else None,
                    end_time=place.until(),
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

    async def facts(self, workflow_id: str) -> Facts:
        """What a worker asks about a task that it has begun. Waits until the database can say it."""
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
        """How much is waiting, as it was at most so many `seconds` ago."""
        return await self._asked(partial(self._gauge.read, seconds))

    async def _known(self, tenant: str, task_id: str) -> WorkflowStatus:
        rows = await self._asked(
            partial(
                self._client.list_workflows_async,
                workflow_ids=[stored_id(tenant, task_id)],
                name=WORKFLOW,
                load_input=False,
            )
        )
        if not rows:
            raise NotFound(f"There is no task {task_id}.")
        return rows[0]

    async def _asked(self, question: Callable[[], Awaitable[T]]) -> T:
        try:
            return await question()
        except Unreachable as failure:
            log.warning("queue_database_unreachable", error=type(failure).__name__)
            raise StateUnavailable("The queue's database cannot be reached.", retry_after=2) from failure
