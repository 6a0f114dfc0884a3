"""The queue's database: one bounded pool a process, for DBOS, the heartbeats and the figures."""

import os
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dbos import DBOSClient

from ... import NAME
from .internals import SCHEMA
from .refusals import count_as_lost
from .serial import JsonSerializer

MAX_CONNECTIONS = 20
Unreachable = sa.exc.SQLAlchemyError
WORKFLOW = "task"
QUEUE = "tasks"
BATCHES = "batches"  # a task that waits for hours and does nothing takes no place in the other queue

# Our own table: the heartbeats of the workers.
WORKERS = sa.Table(
    "queue_workers",
    sa.MetaData(),
    sa.Column("executor_id", sa.Text, key="worker", primary_key=True),
    sa.Column("beat", sa.Double),
    sa.Column("since", sa.Double),
)

_IDLE_MS = 60_000  # a frozen worker must not hold its locks for ever
_POOLED, _FILE = "pooled", "file"  # in the notes of a connection

_NOW = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400.0 AS REAL)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)",
}


class Database:
    """The connections to it.

    Args:
        url: `sqlite:///file` for one machine, `postgresql://…` for several.
        connections: most connections at once.
    """

    def __init__(self, url: str, connections: int = MAX_CONNECTIONS) -> None:
        self.engine = _engine(url, connections)
        sa.event.listen(self.engine, "handle_error", count_as_lost)
        dialect = self.engine.dialect.name
        # SQLite takes one writer at a time. The writers of one process take turns here; SQLite itself would have them
        # look again after ever longer pauses.
        self.turn: AbstractContextManager[object] = threading.Lock() if dialect == "sqlite" else nullcontext()
        self.now = sa.literal_column(_NOW[dialect], sa.Double)  # the database's clock, in seconds since 1970
        self._apart = time.time() - time.monotonic()
        self.on_server = dialect == "postgresql"

    def client(self) -> DBOSClient:
        """A client for use outside a worker: submit, look, cancel."""
        return DBOSClient(
            system_database_engine=self.engine,
            serializer=JsonSerializer(),
            application_name=NAME,
            lazy=True,
            retry_connection_errors=False,
        )

    def ask(self, query: str | sa.Executable, **values: object) -> Sequence[Any]:
        """The rows that a query gives."""
        with self.engine.connect() as connection:
            return connection.execute(_statement(query), values).all()

    def do(self, change: str | sa.Executable, **values: object) -> int:
        """Makes a change, in a transaction of its own. The result is the number of rows."""
        with self.engine.begin() as connection:
            return connection.execute(_statement(change), values).rowcount

    def clock(self, connection: sa.Connection) -> float:
        """The database's time, in seconds since 1970: the clocks of several machines differ."""
        return self.heard(connection.execute(sa.text(f"SELECT {self.now}")).scalar_one())

    def heard(self, now: float) -> float:
        """Keeps the database's time, for `time`."""
        self._apart = now - time.monotonic()
        return now

    def time(self) -> float:
        """The database's time as it was last heard, and what has passed since. Before, it is this machine's."""
        return time.monotonic() + self._apart

    def close(self) -> None:
        self.engine.dispose()


def _statement(said: str | sa.Executable) -> sa.Executable:
    return sa.text(said) if isinstance(said, str) else said


def pooled(connection: sa.Connection) -> bool:
    """Whether a pooler stands between this process and PostgreSQL."""
    return bool(connection.info.get(_POOLED))


def _engine(url: str, connections: int) -> sa.Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        engine = sa.create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,
            hide_parameters=True,  # DBOS logs refusals, and a parameter may be a prompt or an answer
            connect_args={"connect_timeout": 5, "application_name": NAME},
        )
        sa.event.listen(engine, "connect", _settle_postgres)
        sa.event.listen(engine, "begin", _settle_pooled)
        return engine
    engine = sa.create_engine(parsed, pool_size=connections, max_overflow=0, hide_parameters=True)
    sa.event.listen(engine, "do_connect", _open_sqlite)
    sa.event.listen(engine, "connect", _settle_sqlite)
    sa.event.listen(engine, "checkout", _same_file)
    return engine.execution_options(schema_translate_map={SCHEMA: None})


def _settle_postgres(connection: Any, record: Any) -> None:
    """A pooler gives each client a number of its own, where PostgreSQL gives its process. In transaction mode it takes
    no startup options, and the next statement may meet another process: nothing may be left there."""
    own = "SELECT CASE pg_backend_pid() WHEN %s THEN set_config('idle_in_transaction_session_timeout', %s, false) END"
    try:
        [settled] = connection.execute(own, (connection.info.backend_pid, str(_IDLE_MS))).fetchone()
        connection.commit()
    except BaseException:
        connection.close()
        raise
    record.info[_POOLED] = settled is None
    if settled is None:
        connection.prepare_threshold = None


def _settle_pooled(connection: sa.Connection) -> None:
    if pooled(connection) and connection.get_isolation_level() != "AUTOCOMMIT":
        connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {_IDLE_MS}")


def _open_sqlite(dialect: sa.Dialect, record: Any, where: tuple[str], options: dict[str, Any]) -> Any:
    """Opens the file that is there. By itself, SQLite would make an empty one in the place of one that is missing."""
    connection = dialect.connect(f"{Path(where[0]).absolute().as_uri()}?mode=rw", **options, uri=True)
    record.info[_FILE] = where[0], _identity(where[0])
    return connection


def _same_file(_: object, record: Any, __: object) -> None:
    """A file that was deleted, moved or replaced, as a restore does, is open here and found by nobody else. What is
    written there is lost."""
    path, identity = record.info[_FILE]
    if _identity(path) != identity:
        raise sa.exc.DisconnectionError("the file is another one")


def _identity(path: str) -> tuple[int, int] | None:
    with suppress(OSError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return None


def _settle_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = "IMMEDIATE"  # writers wait for each other at the start instead of failing later
    for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
