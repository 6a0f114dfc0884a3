"""The queue's figures: `queue_depth`, `queue_oldest_task_seconds`, `tasks_total`, `tasks_takeovers_total`."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from opentelemetry import metrics

from ..errors import Overloaded

_meter = metrics.get_meter("service")
DEPTH = _meter.create_gauge("queue.depth", "", "Tasks that wait to be begun")
OLDEST = _meter.create_gauge("queue.oldest_task", "s", "Age of the oldest task that could begin")
TASKS = _meter.create_counter("tasks", "", "Tasks that have ended, by outcome")
TAKEOVERS = _meter.create_counter("tasks.takeovers", "", "Tasks that went on in another worker because theirs had died")

SAMPLE_SECONDS = 1.0


@dataclass(frozen=True)
class Depth:
    """The number of waiting tasks, and how many seconds the oldest of those that could begin has waited."""

    tasks: int = 0
    oldest_seconds: float | None = None


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
                if self._depth.oldest_seconds is not None:
                    OLDEST.set(self._depth.oldest_seconds)
        return self._depth

    async def admit(self, limit: int) -> None:
        """Raises:
        Overloaded: `limit` tasks are waiting.
        """
        if (await self.read()).tasks >= limit:
            raise Overloaded(f"{limit} tasks are waiting already; come back later.", retry_after=10)

    def count_one(self) -> None:
        self._depth = replace(self._depth, tasks=self._depth.tasks + 1)
