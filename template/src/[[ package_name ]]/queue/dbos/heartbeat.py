"""Heartbeats: every worker writes one each second, and puts the tasks of a dead worker back into the queue.

They come from a thread of their own: a worker with a blocked event loop is alive. A frozen process is not. When it
comes back it finds its tasks taken over, and DBOS refuses its writes: each write checks who owns the task, in the same
transaction.
"""

import threading

import structlog
from dbos import error

from . import internals
from .database import Database, Unreachable

log = structlog.get_logger(__name__)

# Two sides of one promise: a worker that is alive keeps its tasks, a dead worker's tasks go on within 15 seconds.
BEAT_SECONDS = 1.0
DEAD_SECONDS = 12.0  # a process that stands still for ten seconds beats eleven seconds late
# So many seconds without a beat of any worker are a gap: the database was away, or all workers were.
GAP_SECONDS = 6.0


class Heartbeat(threading.Thread):
    """Beats for one worker and watches the others."""

    def __init__(self, database: Database, executor_id: str) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._database = database
        self._executor_id = executor_id
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.watch()
            except (Unreachable, error.DBOSException) as failure:
                log.warning("heartbeat_failed", error=type(failure).__name__)

    def watch(self) -> None:
        """Beats, then takes the tasks of dead workers over.

        After an outage of the database the last beat of every worker is old. So no worker is judged until beats have
        come without a gap for DEAD_SECONDS: by then every live worker has been heard. The beats may be of any worker,
        so a worker that has just started judges as well as an old one.
        """
        heard = self.beat()
        for dead in internals.held_by_the_dead(self._database, DEAD_SECONDS):
            if dead != self._executor_id and (heard > DEAD_SECONDS or self._has_left(dead)):
                log.warning("worker_dead", executor=dead)
                internals.put_back(dead)

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
        mine = "SELECT beat - since AS seconds FROM queue_workers WHERE executor_id = :executor"
        [found] = self._database.ask(mine, executor=self._executor_id)
        return float(found.seconds)

    def stop(self) -> None:
        """Ends the beats and says so: others may take the rest of the tasks at once."""
        self._ended.set()
        self.join()
        try:
            self._database.do("UPDATE queue_workers SET beat = 0 WHERE executor_id = :me", me=self._executor_id)
            internals.forget_workers(self._database)
        except Unreachable as failure:
            log.warning("heartbeat_failed", error=type(failure).__name__)

    def _has_left(self, executor_id: str) -> bool:
        left = "SELECT 1 FROM queue_workers WHERE executor_id = :executor AND beat = 0"
        return bool(self._database.ask(left, executor=executor_id))
