"""The queue's database: one bounded pool a process, for DBOS, the heartbeats and the figures alike."""

import logging
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient

from .. import NAME
from ..errors import StateUnavailable
from .serial import JsonSerializer

POOL_SIZE = 20
Unreachable = sa.exc.SQLAlchemyError
WORKFLOW = "task"
QUEUE = "tasks"
BATCHES = "batches"  # tasks that wait for hours and do nothing take no place in the other
# Two sides of one promise: a worker that is alive is never robbed, a dead one's tasks go on within 15 seconds.
BEAT_SECONDS = 1.0
DEAD_SECONDS = 12.0  # a process that stands still for ten seconds is late by eleven
# No worker heard for so long: the database was away, or everybody was.
GAP_SECONDS = 6.0

_NOW = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400.0 AS REAL)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)",
}


@dataclass(frozen=True)
class Depth:
    """What waits: how many tasks, and for how many seconds the oldest that could begin."""

    tasks: int
    oldest_seconds: float


class Database:
    """Connections, and the few questions that DBOS does not answer.

    Args:
        url: `sqlite:///file` for one machine, `postgresql://…` for several.
    """

    def __init__(self, url: str) -> None:
        log_as_everybody()
        self.engine = _engine(url)
        dialect = self.engine.dialect.name
        # SQLite takes one writer at a time; those of one process wait here in turn, instead of looking again after ever
        # longer pauses.
        self.turn: AbstractContextManager[object] = threading.Lock() if dialect == "sqlite" else nullcontext()
        self._now = _NOW[dialect]
        self._schema = "dbos." if dialect == "postgresql" else ""
        self._tasks = f"{self._schema}workflow_status"

    def prepare(self) -> None:
        """Creates or updates the tables; harmless when it was done before, also by several at once.

        Raises:
            StateUnavailable: the database cannot be reached.
        """
        with_password = self.engine.url.render_as_string(hide_password=False)
        try:
            DBOS.migrate(with_password.replace("postgresql+psycopg://", "postgresql://"))
            with self.engine.begin() as connection:
                if self.engine.dialect.name == "postgresql":  # IF NOT EXISTS alone is not safe beside a second one
                    connection.execute(sa.text("SELECT pg_advisory_xact_lock(7261843)"))
                columns = "executor_id TEXT PRIMARY KEY, beat DOUBLE PRECISION, since DOUBLE PRECISION"
                connection.execute(sa.text(f"CREATE TABLE IF NOT EXISTS queue_workers ({columns})"))
        except sa.exc.OperationalError as error:
            raise StateUnavailable(f"The queue's database cannot be used: {error.orig}") from error

    def client(self) -> DBOSClient:
        """For what is done from outside a worker: submit, look, cancel."""
        return DBOSClient(
            system_database_engine=self.engine,
            serializer=JsonSerializer(),
            application_name=NAME,
            lazy=True,
            retry_connection_errors=False,
        )

    def depth(self) -> Depth:
        """Reads what waits by DBOS' partial indexes, of which SQLite wants to see the condition word for word: what has
        ended, which is far more, costs nothing."""
        mine = f"FROM {self._tasks} WHERE queue_name IN (:queue, :batches) AND status"
        row = self._one(
            f"SELECT count(*) AS enqueued, min(updated_at) AS oldest, {self._now} AS now,"
            f" (SELECT count(*) {mine} = 'DELAYED') AS delayed"
            f" {mine} = 'ENQUEUED' AND status IN ('ENQUEUED', 'PENDING')",
            queue=QUEUE,
            batches=BATCHES,
        )
        return Depth(row.enqueued + row.delayed, max(0.0, row.now - row.oldest / 1000) if row.oldest else 0.0)

    def beat(self, executor_id: str) -> float:
        """Says that this worker is alive, by the database's clock; for how many seconds there was no gap in all
        workers' beats."""
        heard = f"SELECT min(since) FROM queue_workers WHERE beat > {self._now} - :gap"  # noqa: S608
        self._do(
            f"INSERT INTO queue_workers VALUES (:executor, {self._now}, coalesce(({heard}), {self._now}))"  # noqa: S608
            " ON CONFLICT (executor_id) DO UPDATE SET beat = excluded.beat, since = excluded.since",
            executor=executor_id,
            gap=GAP_SECONDS,
        )
        mine = "SELECT beat - since AS seconds FROM queue_workers WHERE executor_id = :executor"
        found = self._one(mine, executor=executor_id)
        return float(found.seconds)

    def leave(self, executor_id: str) -> None:
        """Says that this worker has ended: what it leaves behind may be taken at once."""
        self._do("UPDATE queue_workers SET beat = 0 WHERE executor_id = :executor", executor=executor_id)

    def dead(self) -> list[str]:
        """Workers that hold tasks and are not alive: no beat for DEAD_SECONDS, or never one."""
        with self.engine.connect() as connection:
            rows = connection.execute(
                sa.text(
                    f"SELECT held.executor_id FROM (SELECT executor_id, max(started_at_epoch_ms) AS begun"  # noqa: S608
                    f" FROM {self._tasks} WHERE status = 'PENDING' GROUP BY executor_id) AS held"
                    " LEFT JOIN queue_workers ON queue_workers.executor_id = held.executor_id"
                    f" WHERE coalesce(beat, held.begun / 1000.0) < {self._now} - :dead"
                ),
                {"dead": DEAD_SECONDS},
            )
            return [row.executor_id for row in rows]

    def has_left(self, executor_id: str) -> bool:
        """Whether a worker has said itself that it has ended."""
        with self.engine.connect() as connection:
            found = sa.text("SELECT 1 FROM queue_workers WHERE executor_id = :executor AND beat = 0")
            return connection.execute(found, {"executor": executor_id}).first() is not None

    def forget_workers(self) -> None:
        """Drops the rows of workers that have been gone for an hour and have left nothing behind."""
        self._do(
            f"DELETE FROM queue_workers WHERE beat < {self._now} - 3600 AND executor_id NOT IN"  # noqa: S608
            f" (SELECT executor_id FROM {self._tasks} WHERE status = 'PENDING' AND executor_id IS NOT NULL)"
        )

    def forget(self, days: float, at_most: int = 500) -> int:
        """Deletes what ended so long ago, with all that DBOS keeps of it; how much that was.

        In one transaction, and by conditions: a dead letter that is retried at this moment stays, and a task that has
        an id again finds nothing of an earlier one.
        """
        until = int((time.time() - days * 86_400) * 1000)  # a value, for which the database has an index
        old = f"FROM {self._tasks} WHERE completed_at < :until"
        some = f"SELECT workflow_uuid {old} ORDER BY completed_at LIMIT :at_most"
        ended = f"DELETE {old} AND workflow_uuid IN ({some}) RETURNING workflow_uuid"
        with self.turn, self.engine.begin() as connection:
            found = connection.execute(sa.text(ended), {"until": until, "at_most": at_most}).scalars().all()
            for table in ("workflow_input", "workflow_output", "operation_outputs"):  # the others follow by themselves
                rest = sa.text(f"DELETE FROM {self._schema}{table} WHERE workflow_uuid IN :ids")  # noqa: S608
                ids = sa.bindparam("ids", expanding=True, type_=sa.Text())
                connection.execute(rest.bindparams(ids), {"ids": found})
        return len(found)

    def close(self) -> None:
        self.engine.dispose()

    def _one(self, statement: str, **values: object) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(sa.text(statement), values).one()

    def _do(self, statement: str, **values: object) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), values)


def log_as_everybody() -> None:
    """DBOS' warnings belong into the one stream of JSON; what else it says is for those who develop it.

    It brings a handler of its own, and tells of cancelled steps with their arguments, in which prompts are.
    """
    logger = logging.getLogger("dbos")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.WARNING)
    logger.addFilter(_without_arguments)


def _without_arguments(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Asyncio task cancelled")


def _engine(url: str) -> sa.Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        # A frozen worker must not hold its locks for ever.
        frozen = "-c idle_in_transaction_session_timeout=60000"
        return sa.create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 5, "options": frozen},
        )
    engine = sa.create_engine(parsed, pool_size=POOL_SIZE, max_overflow=0)

    @sa.event.listens_for(engine, "connect")
    def settle(connection: Any, _: object) -> None:
        connection.isolation_level = "IMMEDIATE"  # writers wait for each other here, instead of failing later
        for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine
