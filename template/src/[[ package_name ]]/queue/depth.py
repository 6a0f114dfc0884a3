"""How deep the queue is: looked at now and then, not at every submission."""

import asyncio
import time
from dataclasses import replace

from . import meters
from .database import Database, Depth


class Gauge:
    """The depth as it was last seen, and what this process has stored since."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._depth = Depth(0, 0.0)
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def read(self, seconds: float) -> Depth:
        """The depth, at most `seconds` old."""
        async with self._reading:
            if time.monotonic() - self._read_at > seconds:
                self._depth = await asyncio.to_thread(self._database.depth)
                self._read_at = time.monotonic()
                meters.DEPTH.set(self._depth.tasks)
                meters.OLDEST.set(self._depth.oldest_seconds)
        return self._depth

    def count_one(self) -> None:
        self._depth = replace(self._depth, tasks=self._depth.tasks + 1)
