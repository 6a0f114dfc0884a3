"""The queue's figures: `queue_depth`, `queue_delayed`, `queue_oldest_task_seconds`, `tasks_total` and others."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from opentelemetry import metrics

from ..errors import Overloaded
from .records import Status

_meter = metrics.get_meter("service")
DEPTH = _meter.create_gauge("queue.depth", "", "Tasks that wait to be begun")
DELAYED = _meter.create_gauge("queue.delayed", "", "Tasks whose time to begin has not come")
OLDEST = _meter.create_gauge("queue.oldest_task", "s", "Age of the oldest task that could begin")
TASKS = _meter.create_counter("tasks", "", "Tasks that have ended, by outcome")
TAKEOVERS = _meter.create_counter("tasks.takeovers", "", "Tasks that went on in another worker because theirs had died")
CLOCK_SKEW = _meter.create_gauge("queue.clock_skew", "s", "How far this worker's clock is ahead of the database's")
SKIPPED = _meter.create_counter("schedule.ticks_skipped", "", "Times of a schedule that gave no task")

SAMPLE_SECONDS = 1.0
_SHARE_ON_TOP = 0.25  # of QUEUE__MAX_DEPTH, for tenants with few tasks while others fill it


def count_from_zero() -> None:
    """Sets every counter to zero: a rate needs a first value."""
    TAKEOVERS.add(0)
    for outcome in Status:
        if outcome.final:
            count_task(outcome, 0)


def count_task(outcome: str, number: int = 1) -> None:
    """Counts a task that has ended.

    The label is a plain string: OpenTelemetry makes a second series for an enumeration's member of the same value.
    """
    TASKS.add(number, {"outcome": str(outcome)})


@dataclass(frozen=True)
class Depth:
    """The number of tasks that could begin, how many seconds the oldest of them has waited, and the number of delayed
    tasks."""

    tasks: int = 0
    oldest_seconds: float | None = None
    delayed: int = 0


Shares = dict[bool, Counter[str]]  # tasks by tenant; True has the delayed ones


class Gauge:
    """The depth of the queue: as it was last seen, plus the tasks that this process has stored since.

    Args:
        look: reads the depth.
        look_closer: counts the waiting tasks by tenant, delayed ones apart. Not every engine can do that.
    """

    def __init__(
        self, look: Callable[[], Awaitable[Depth]], look_closer: Callable[[], Awaitable[Shares]] | None = None
    ) -> None:
        self._look = look
        self._look_closer = look_closer
        self._depth = Depth()
        self._shares: Shares | None = None
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def read(self, seconds: float = SAMPLE_SECONDS) -> Depth:
        """The depth, at most `seconds` old."""
        async with self._reading:
            if time.monotonic() - self._read_at > seconds:
                self._depth = await self._look()
                self._shares = None
                self._read_at = time.monotonic()
                DEPTH.set(self._depth.tasks)
                DELAYED.set(self._depth.delayed)
                if self._depth.oldest_seconds is not None:
                    OLDEST.set(self._depth.oldest_seconds)
        return self._depth

    async def admit(self, limit: int, tenant: str = "", *, delayed: bool = False) -> None:
        """Tasks that could begin and delayed ones have a limit each: what is due next week keeps nothing out today.

        A tenant that fills the queue cannot keep the others out: there are places on top of the limit, which tenants
        with few tasks share evenly.

        Raises:
            Overloaded: `limit` tasks of the kind are waiting.
        """
        depth = await self.read()
        waiting = depth.delayed if delayed else depth.tasks
        if waiting < limit:
            return
        yours = ""
        if self._look_closer:
            taken = (await self._by_tenant(self._look_closer))[delayed]
            on_top = math.ceil(limit * _SHARE_ON_TOP)
            if waiting < limit + on_top and taken[tenant] < on_top / len(taken.keys() | {tenant}):
                return
            yours = f", {taken[tenant]} of them yours"
        kind = "delayed tasks" if delayed else "tasks"
        raise Overloaded(f"{waiting} {kind} are waiting already{yours}; come back later.", retry_after=10)

    def count_one(self, tenant: str = "", *, delayed: bool = False) -> None:
        if delayed:
            self._depth = replace(self._depth, delayed=self._depth.delayed + 1)
        else:
            self._depth = replace(self._depth, tasks=self._depth.tasks + 1)
        if self._shares:
            self._shares[delayed][tenant] += 1

    async def _by_tenant(self, look_closer: Callable[[], Awaitable[Shares]]) -> Shares:
        """As old as the depth. It is read when the queue is full, because it costs more."""
        async with self._reading:
            self._shares = self._shares or await look_closer()
            return self._shares
