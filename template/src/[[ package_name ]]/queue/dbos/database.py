"""The queue's database: one bounded pool a process, for DBOS, the heartbeats and the figures."""

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient

from ... import NAME
from ...errors import StateUnavailable
from .serial import JsonSerializer

POOL_SIZE = 20
Unreachable = sa.exc.SQLAlchemyError
WORKFLOW = "task"
QUEUE = "tasks"
BATCHES = "batches"  # a task that waits for hours and does nothing takes no place in the other queue

# The database answers, and says no for a while: a failover has made it read-only, or its disk is full.
_REFUSALS = ("25006", "58030", "database or disk is full", "disk I/O error", "attempt to write a readonly database")

_NOW = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400.0 AS REAL)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)",
}


class Database:
    """The connections to it.

    Args:
        url: `sqlite:///file` for one machine, `postgresql://…` for several.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        sa.event.listen(self.engine, "handle_error", _refused)
        dialect = self.engine.dialect.name
        # SQLite takes one writer at a time. The writers of one process take turns here; SQLite itself would have them
        # look again after ever longer pauses.
        self.turn: AbstractContextManager[object] = threading.Lock() if dialect == "sqlite" else nullcontext()
        self.now = _NOW[dialect]  # the database's clock, in seconds since 1970
        self.schema = "dbos." if dialect == "postgresql" else ""

    def prepare(self) -> None:
        """Creates or updates the tables; safe to repeat, and safe for several processes at once.

        Raises:
            StateUnavailable: the database cannot be reached.
        """
        with_password = self.engine.url.render_as_string(hide_password=False)
        try:
            DBOS.migrate(with_password.replace("postgresql+psycopg://", "postgresql://"))
            with self.engine.begin() as connection:
                if self.engine.dialect.name == "postgresql":  # two `IF NOT EXISTS` at the same time may clash
                    connection.execute(sa.text("SELECT pg_advisory_xact_lock(7261843)"))
                columns = "executor_id TEXT PRIMARY KEY, beat DOUBLE PRECISION, since DOUBLE PRECISION"
                connection.execute(sa.text(f"CREATE TABLE IF NOT EXISTS queue_workers ({columns})"))
        except sa.exc.OperationalError as error:
            raise StateUnavailable(f"The queue's database cannot be used: {error.orig}") from error

    def client(self) -> DBOSClient:
        """A client for use outside a worker: submit, look, cancel."""
        return DBOSClient(
            system_database_engine=self.engine,
            serializer=JsonSerializer(),
            application_name=NAME,
            lazy=True,
            retry_connection_errors=False,
        )

    def ask(self, statement: str, **values: object) -> Sequence[Any]:
        """The rows that a query gives."""
        with self.engine.connect() as connection:
            return connection.execute(sa.text(statement), values).all()

    def do(self, statement: str, **values: object) -> None:
        """Makes a change, in a transaction of its own."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def clock(self, connection: sa.Connection) -> float:
        """The database's time, in seconds since 1970: the clocks of several machines differ."""
        return float(connection.execute(sa.text(f"SELECT {self.now}")).scalar_one())

    def write(self) -> None:
        """Writes a row that says nothing.

        Raises:
            SQLAlchemyError: the database cannot be reached, or takes no writes.
        """
        with self.turn:
            self.do(
                f"INSERT INTO queue_workers VALUES ('', 0, {self.now})"  # noqa: S608
                " ON CONFLICT (executor_id) DO UPDATE SET since = excluded.since"
            )

    def close(self) -> None:
        self.engine.dispose()


def _refused(context: sa.ExceptionContext) -> None:
    """Counts a refusal as a lost connection: DBOS repeats what a lost connection has broken off, and little else. And a
    new connection may lead to the new primary."""
    error = context.original_exception
    if (getattr(error, "sqlstate", None) or str(error)) in _REFUSALS:
        context.is_disconnect = True


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
    Path(str(parsed.database)).touch(mode=0o600)  # SQLite gives its other files the same mode
    engine = sa.create_engine(parsed, pool_size=POOL_SIZE, max_overflow=0)

    @sa.event.listens_for(engine, "connect")
    def settle(connection: Any, _: object) -> None:
        connection.isolation_level = "IMMEDIATE"  # writers wait for each other at the start instead of failing later
        for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine
