"""The queue's figures: `queue_depth`, `queue_delayed`, `queue_oldest_task_seconds`, `tasks_total` and others."""

import asyncio
import time
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

SAMPLE_SECONDS = 1.0


def count_from_zero() -> None:
    """Sets every counter to zero: a rate needs a first value."""
    TAKEOVERS.add(0)
    for outcome in Status:
        if outcome.final:
            TASKS.add(0, {"outcome": outcome})


@dataclass(frozen=True)
class Depth:
    """The number of tasks that could begin, how many seconds the oldest of them has waited, and the number of delayed
    tasks."""

    tasks: int = 0
    oldest_seconds: float | None = None
    delayed: int = 0


class Gauge:
    """The depth of the queue: as it was last seen, plus the tasks that this process has stored since.

    Args:
        look: reads the depth.
    """

    def __init__(self, look: Callable[[], Awaitable[Depth]]) -> None:
        self._look = look
        self._depth = Depth()
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def read(self, seconds: float = SAMPLE_SECONDS) -> Depth:
        """The depth, at most `seconds` old."""
        async with self._reading:
            if time.monotonic() - self._read_at > seconds:
                self._depth = await self._look()
                self._read_at = time.monotonic()
                DEPTH.set(self._depth.tasks)
                DELAYED.set(self._depth.delayed)
                if self._depth.oldest_seconds is not None:
                    OLDEST.set(self._depth.oldest_seconds)
        return self._depth

    async def admit(self, limit: int, *, delayed: bool = False) -> None:
        """Tasks that could begin and delayed ones have a limit each: what is due next week keeps nothing out today.

        Raises:
            Overloaded: `limit` tasks of the kind are waiting.
        """
        depth = await self.read()
        if (depth.delayed if delayed else depth.tasks) >= limit:
            kind = "delayed tasks" if delayed else "tasks"
            raise Overloaded(f"{limit} {kind} are waiting already; come back later.", retry_after=10)

    def count_one(self, *, delayed: bool = False) -> None:
        if delayed:
            self._depth = replace(self._depth, delayed=self._depth.delayed + 1)
        else:
            self._depth = replace(self._depth, tasks=self._depth.tasks + 1)
