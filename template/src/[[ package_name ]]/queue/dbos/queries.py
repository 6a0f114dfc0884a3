"""Reading tasks from the database. Reads take no locks that a writer waits for."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import structlog
from dbos import DBOSClient

from ...errors import NotFound, StateUnavailable
from ...runs.result import RunResult
from ..meters import SAMPLE_SECONDS, Depth, Gauge
from ..records import Failure, Page, Place, Status, TaskView, moment
from . import changes
from .database import Database, Unreachable
from .internals import State
from .rows import Stored, by_tenant, depth, stamps, tasks
from .serial import JsonSerializer, TaskEnded

log = structlog.get_logger(__name__)
T = TypeVar("T")

# Failed and dead tasks have the same state; the error says which they are.
_STATES: dict[Status, list[State]] = {
    Status.QUEUED: [State.WAITING, State.DELAYED],
    Status.RUNNING: [State.RUNNING],
    Status.COMPLETED: [State.COMPLETED],
    Status.FAILED: [State.ENDED],
    Status.DEAD: [State.ENDED],
    Status.CANCELLED: [State.CANCELLED],
}


@dataclass(frozen=True)
class Facts:
    """The changing part of a task: how often its worker died, how often it was run as a suspect (see workflow.py), when
    it is given up (by `time.monotonic()`: the database's clock has said how much is left), whether it was cancelled."""

    takeovers: int
    strikes: int
    ends_at: float
    cancelled: bool


class Queries:
    """The questions that anybody may ask. The answers are of now, except for `sample`'s."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._client: DBOSClient = database.client()
        self._gauge = Gauge(self._looking(_look), self._looking(by_tenant))

    async def page(self, *, tenant: str | None, status: Status | None, cursor: str | None, limit: int) -> Page:
        """Some of a tenant's tasks (of all tenants' without one), newest first and without their answers.

        Raises:
            InvalidInput: the cursor is not one of ours.
        """
        place = Place.read(cursor)
        rows = await self._rows(
            tenant=tenant,
            states=_STATES[status] if status else (),
            dead=status is Status.DEAD if status in (Status.DEAD, Status.FAILED) else None,
            until=place.milliseconds,
            skip=place.skip,
            limit=limit,
        )
        for row in rows:
            place = place.after(row.created_at)
        return Page(tasks=[view_of(row) for row in rows], next_cursor=str(place) if len(rows) == limit else None)

    async def stamps(self, places: list[tuple[str, str]]) -> dict[tuple[str, str], object]:
        """For each of these tasks, named by tenant and id, a value that changes with the task."""
        ids = {stored_id(*place): place for place in places}
        found = await self._asked(partial(asyncio.to_thread, stamps, self.database, list(ids)))
        return {ids[workflow_id]: stamp for workflow_id, stamp in found.items()}

    async def facts(self, workflow_id: str) -> Facts:
        """What a worker has to know of a task that it has begun. Waits until the database can say it."""
        tenant, _, task_id = workflow_id.partition("/")
        while True:
            with suppress(StateUnavailable):
                known = await self._known(tenant, task_id)
                kept = known.attributes
                cancelled = known.state == State.CANCELLED
                ends_at = time.monotonic() + float(kept["deadline_at"]) - known.now
                return Facts(takeovers(known), kept.get("strikes", 0), ends_at, cancelled)
            await asyncio.sleep(SAMPLE_SECONDS)

    async def reachable(self) -> bool:
        """Whether the database answers and takes writes, at most a second ago."""
        with suppress(StateUnavailable):
            await self.sample()
            return True
        return False

    async def sample(self, seconds: float = SAMPLE_SECONDS) -> Depth:
        """The depth of the queue, at most so many `seconds` old."""
        return await self._gauge.read(seconds)

    async def _known(self, tenant: str, task_id: str, *, answers: bool = False) -> Stored:
        if rows := await self._rows(id=stored_id(tenant, task_id), answers=answers):
            return rows[0]
        raise NotFound(f"There is no task {task_id}.")

    async def _rows(self, **wanted: Any) -> list[Stored]:
        return await self._asked(partial(asyncio.to_thread, tasks, self.database, **wanted))

    def _looking(self, look: Callable[[Database], T]) -> Callable[[], Awaitable[T]]:
        return partial(self._asked, partial(asyncio.to_thread, look, self.database))

    async def _asked(self, question: Callable[[], Awaitable[T]]) -> T:
        try:
            return await question()
        except Unreachable as failure:
            log.warning("queue_database_unreachable", error=type(failure).__name__)
            raise StateUnavailable("The queue's database cannot be reached.", retry_after=2) from failure


def _look(database: Database) -> Depth:
    """The depth, by which a submission is judged: so the database has to take writes as well.

    Raises:
        StateUnavailable: it does not take this user's.
    """
    if not changes.write(database):
        log.warning("queue_rights_missing")
        raise StateUnavailable("A right to the tables of the queue is missing.", retry_after=2)
    return depth(database)


def view_of(found: Stored) -> TaskView:
    """The view of a row. Nothing but our own JSON is read, whatever the row says of its form."""
    status = next(status for status, states in _STATES.items() if found.state in states)
    result, error = None, None
    if found.foreign:
        error = Failure(type="urn:problem:internal", detail="It is stored in a foreign form, which is not read.")
    elif found.output:
        result = RunResult.model_validate_json(JsonSerializer().deserialize(found.output))
    elif found.error:
        ended = _ended(found.error)
        status, error = Status(ended.status), ended.failure
    return TaskView(
        id=public_id(found.id),
        tenant=found.tenant or "",
        status=status,
        created_at=moment(found.created_at),
        started_at=moment(found.started_at) if found.started_at else None,
        finished_at=moment(found.ended_at) if found.ended_at else None,
        takeovers=takeovers(found),
        result=result,
        error=error,
    )


def takeovers(found: Stored) -> int:
    return max(0, found.claims - 1)


def _ended(stored: str) -> TaskEnded:
    """The end of a task without an answer, where it is one that tasks have."""
    with suppress(ValueError):
        if isinstance(ended := JsonSerializer().deserialize(stored), TaskEnded):
            return ended
    return TaskEnded(TaskEnded.FAILED, "internal", "An unexpected error; it is in the log.")


def stored_id(tenant: str, task_id: str) -> str:
    """The id of a task's workflow. Ids are a tenant's own: another tenant's task is not even found."""
    return f"{tenant}/{task_id}"


def public_id(stored: str) -> str:
    return stored.partition("/")[2]
