"""Who is alive. Every worker says so each second; what a dead one held, the others put back into the queue.

A thread of its own: a blocked event loop is no reason to be robbed. A process that was frozen is: it finds its tasks
taken over when it comes back, and nothing that it still writes about them is accepted (DBOS checks who owns a task in
the same transaction as each write).
"""

import threading

import structlog
from dbos import DBOS, error

from .database import BEAT_SECONDS, DEAD_SECONDS, Database, Unreachable

log = structlog.get_logger(__name__)


class Heartbeat(threading.Thread):
    """Beats for one worker and looks after the others."""

    def __init__(self, database: Database, executor_id: str) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._database = database
        self._executor_id = executor_id
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.beat()
            except (Unreachable, error.DBOSException) as failure:
                log.warning("heartbeat_failed", error=type(failure).__name__)

    def beat(self) -> None:
        """Says that this worker is alive. Then, if it knows better than others who is not, takes their tasks over.

        After an outage of the database everybody's last beat is old: there is no judging until beats have come without
        a gap for DEAD_SECONDS, by when all that are alive have been heard. Whose beats they were does not matter, so
        that a worker that has just started knows as much as an old one.
        """
        heard = self._database.beat(self._executor_id)
        for dead in self._database.dead():
            if dead != self._executor_id and (heard > DEAD_SECONDS or self._database.has_left(dead)):
                log.warning("worker_dead", executor=dead)
                # Puts back what it still holds, and only that: to do it twice, or beside another worker, is harmless.
                DBOS._recover_pending_workflows([dead])

    def stop(self) -> None:
        """The last beat: others may take what is left at once."""
        self._ended.set()
        self.join()
        try:
            self._database.leave(self._executor_id)
            self._database.forget_workers()
        except Unreachable as failure:
            log.warning("heartbeat_failed", error=type(failure).__name__)
