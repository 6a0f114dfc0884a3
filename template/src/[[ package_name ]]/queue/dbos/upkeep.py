"""The upkeep of the queue: each worker looks at its depth, takes up lost tasks, ends overdue ones, forgets old ones.
It makes up missed times of schedules, too.

Every worker does so, a little now and then: no job is needed, and none can be forgotten.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog
from dbos import DBOS

from ...errors import StateUnavailable
from ..meters import SAMPLE_SECONDS
from . import changes, internals, rows
from .database import Unreachable
from .schedules import MAKE_UP_SECONDS, Schedules
from .tasks import Tasks

log = structlog.get_logger(__name__)

LOST_SECONDS = 4.0  # a claimed task runs within moments; a blocked loop holds this up along with it
OVERDUE_SECONDS = 10.0
_FORGET_SECONDS = 60.0
_PAUSE_SECONDS = 0.5


class Upkeep:
    """Runs on the worker's loop, between `start` and `stop`."""

    def __init__(self, dbos: DBOS, tasks: Tasks, schedules: Schedules, executor_id: str, retention_days: float) -> None:
        self._dbos = dbos
        self._tasks = tasks
        self._schedules = schedules
        self._database = tasks.database
        self._executor_id = executor_id
        self._retention_days = retention_days
        self._suspected: set[tuple[str, str]] = set()
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        works: list[tuple[Callable[[], Awaitable[None]], float]] = [
            (self._look, SAMPLE_SECONDS),
            (self._take_up_lost, LOST_SECONDS),
            (self._tasks.end_overdue, OVERDUE_SECONDS),
            (self._schedules.make_up, MAKE_UP_SECONDS),
            (self._forget, _FORGET_SECONDS),
        ]
        self._running = [asyncio.create_task(_keep(work, seconds)) for work, seconds in works]

    def stop(self) -> None:
        for running in self._running:
            running.cancel()

    async def _look(self) -> None:
        await self._tasks.sample()

    async def _take_up_lost(self) -> None:
        """Puts back what this worker holds by the database and does not run: a task can be lost between its claim and
        its start, and when its end cannot be recorded. What is seen so twice is lost."""
        held = await asyncio.to_thread(rows.held_by, self._database, self._executor_id)
        running = internals.active(self._dbos)
        idle = {(workflow_id, claim) for workflow_id, claim in held if workflow_id not in running}
        for workflow_id, claim in idle & self._suspected:
            log.warning("task_lost", workflow=workflow_id)
            await asyncio.to_thread(changes.take_up, self._database, workflow_id, claim)
        self._suspected = idle

    async def _forget(self) -> None:
        while forgotten := await asyncio.to_thread(changes.forget, self._database, self._retention_days):
            log.info("tasks_forgotten", count=forgotten)
            await asyncio.sleep(_PAUSE_SECONDS)  # there may be millions, and the queue goes first


async def _keep(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        try:
            await work()
        except (Unreachable, StateUnavailable) as error:
            log.warning("upkeep_failed", error=type(getattr(error, "orig", error)).__name__)
        await asyncio.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311
