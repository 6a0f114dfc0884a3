"""Heartbeats: every worker writes one each second, and puts the tasks of a dead worker back into the queue.

They come from a thread of their own: a worker with a blocked event loop is alive. A frozen process is not. When it
comes back it finds its tasks taken over, and DBOS refuses its writes: each write checks who owns the task, in the same
transaction.
"""

import asyncio
import os
import sys
import threading
import time
from contextlib import suppress

import structlog

from ..meters import CLOCK_SKEW
from . import changes, rows
from .database import Database, Unreachable

log = structlog.get_logger(__name__)

# Two sides of one promise: a worker that is alive keeps its tasks, a dead worker's tasks go on within 15 seconds.
BEAT_SECONDS = 1.0
DEAD_SECONDS = 12.0  # a process that stands still for ten seconds beats eleven seconds late
# So many seconds without a beat of any worker are a gap: the database was away, or all workers were.
GAP_SECONDS = 6.0
# A loop that has not answered for so long is blocked.
BLOCKED_SECONDS = 3.0
# Tasks that are not handed back count as those of a dead worker. A short restart of the database is waited out.
HAND_BACK_SECONDS = 5.0
# All times go by the database's clock. A machine whose own is so far off has another ailment, which logs may hide.
SKEW_SECONDS = 5.0


class Heartbeat(threading.Thread):
    """Beats for one worker and watches the others.

    Args:
        told: set when the worker is told to stop. It has `grace_seconds` from then.
    """

    def __init__(self, database: Database, executor_id: str, told: threading.Event, grace_seconds: float) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._database = database
        self._executor_id = executor_id
        self._version = executor_id.rpartition(rows.VERSIONED)[2]
        self._told = told
        self._grace_seconds = grace_seconds
        self._ended = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._answered_at = self._leave_at = time.monotonic()
        self._skewed = False

    def run(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.watch()
            except Unreachable as failure:
                log.warning("heartbeat_failed", error=type(failure).__name__)
            self._leave_if_blocked()

    def watch(self) -> None:
        """Beats, then takes the tasks of dead workers over.

        After an outage of the database the last beat of every worker is old. So no worker is judged until beats have
        come without a gap for DEAD_SECONDS: by then every live worker has been heard. The beats may be of any worker,
        so a worker that has just started judges as well as an old one.
        """
        heard = self.beat()
        for dead in rows.held_by_the_dead(self._database, DEAD_SECONDS, self._executor_id):
            left = self._has_left(dead)
            if dead != self._executor_id and (heard > DEAD_SECONDS or left):
                count = changes.put_back(self._database, dead, died=not left)
                log.warning("worker_left" if left else "worker_dead", executor=dead, tasks=count)
        if heard > DEAD_SECONDS and (count := changes.adopt(self._database, self._version, DEAD_SECONDS)):
            log.warning("tasks_of_another_version", count=count)

    def beat(self) -> float:
        """Writes a beat by the database's clock. The result is how many seconds all workers' beats had no gap."""
        now = self._database.now
        heard = f"SELECT min(since) FROM queue_workers WHERE beat > {now} - :gap"  # noqa: S608
        self._database.do(
            f"INSERT INTO queue_workers VALUES (:executor, {now}, coalesce(({heard}), {now}))"  # noqa: S608
            " ON CONFLICT (executor_id) DO UPDATE SET beat = excluded.beat, since = excluded.since",
            executor=self._executor_id,
            gap=GAP_SECONDS,
        )
        mine = f"SELECT beat - since AS seconds, {now} AS now FROM queue_workers WHERE executor_id = :executor"  # noqa: S608
        [found] = self._database.ask(mine, executor=self._executor_id)
        skew = time.time() - self._database.heard(found.now)
        CLOCK_SKEW.set(skew)
        if (abs(skew) > SKEW_SECONDS) is not self._skewed:
            self._skewed = not self._skewed
            log.warning("clock_differs" if self._skewed else "clock_agrees", seconds=round(skew))
        return float(found.seconds)

    def stop(self) -> None:
        """Ends the beats, and hands the rest of the tasks back: others take them at once."""
        self._ended.set()
        self.join()
        self._hand_back()

    def _hand_back(self) -> None:
        until = time.monotonic() + HAND_BACK_SECONDS
        while True:
            try:
                if count := changes.put_back(self._database, self._executor_id, died=False):
                    log.info("tasks_handed_back", count=count)
                self._database.do("UPDATE queue_workers SET beat = 0 WHERE executor_id = :me", me=self._executor_id)
                return changes.forget_workers(self._database)
            except Unreachable as failure:
                log.warning("heartbeat_failed", error=type(failure).__name__)
                if time.monotonic() > until:
                    return None
            time.sleep(BEAT_SECONDS / 2)

    def _leave_if_blocked(self) -> None:
        """Ends the process when its loop is blocked beyond the grace time: a blocked loop ends nothing in order."""
        now = time.monotonic()
        with suppress(RuntimeError):  # the loop may be closed
            self._loop.call_soon_threadsafe(self._answer)
        if not self._told.is_set():
            self._leave_at = now + self._grace_seconds
        elif now > self._leave_at and now - self._answered_at > BLOCKED_SECONDS:
            log.warning("left_with_a_blocked_loop", seconds=round(now - self._answered_at))
            self._hand_back()
            sys.stdout.flush()
            os._exit(0)

    def _answer(self) -> None:
        self._answered_at = time.monotonic()

    def _has_left(self, executor_id: str) -> bool:
        left = "SELECT 1 FROM queue_workers WHERE executor_id = :executor AND beat = 0"
        return bool(self._database.ask(left, executor=executor_id))
