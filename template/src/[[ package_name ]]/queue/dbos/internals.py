"""What this engine uses of DBOS and DBOS does not promise: names in its code, its tables, its words for a state.

No other file knows one of them. Before an update of DBOS, look here: tests/queue/dbos/test_internals.py fails with a
sentence when one of them changes.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, tzinfo
from enum import StrEnum
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from dbos import DBOS, _enqueue_options, _migration, _scheduler, _serialization, _sys_db

from .serial import JsonSerializer

if TYPE_CHECKING:
    from .database import Database

SCHEMA = "dbos"  # of its tables in PostgreSQL; SQLite has none
VERSIONS = "dbos_migrations"  # the table that all read, and `migrate` alone writes
NO_QUEUE = "_dbos_internal_queue"  # of workflows that were started without one
_RUNS_A_WORKFLOW = "_execute_workflow_async"  # the name of a coroutine
_WITH_ARGUMENTS = "Asyncio task cancelled"  # the beginning of a warning that quotes a step's arguments


class State(StrEnum):
    """Of a workflow."""

    WAITING = "ENQUEUED"
    DELAYED = "DELAYED"
    RUNNING = "PENDING"
    COMPLETED = "SUCCESS"
    ENDED = "ERROR"
    CANCELLED = "CANCELLED"


def _table(name: str, /, **columns: str) -> sa.Table:
    """One of the tables. On the left are our names for its columns."""
    return sa.Table(name, TABLES, *(sa.Column(theirs, key=ours) for ours, theirs in columns.items()))


TABLES = sa.MetaData(schema=SCHEMA)
WORKFLOWS = _table(
    "workflow_status",
    id="workflow_uuid",
    name="name",
    state="status",
    tenant="authenticated_user",
    queue="queue_name",
    share="queue_partition_key",
    version="application_version",
    worker="executor_id",
    claim="owner_xid",
    claims="recovery_attempts",
    created_at="created_at",
    changed_at="updated_at",
    started_at="started_at_epoch_ms",
    ended_at="completed_at",
    attributes="attributes",
    form="serialization",
)
INPUTS = _table("workflow_input", id="workflow_uuid", value="inputs")
ENDINGS = _table("workflow_output", id="workflow_uuid", output="output", error="error")
STEPS = _table("operation_outputs", id="workflow_uuid")
SCHEDULES = _table(
    "workflow_schedules", name="schedule_name", cron="schedule", timezone="cron_timezone", met_at="last_fired_at"
)


def in_state(*states: State) -> sa.ColumnElement[bool]:
    """The condition that a workflow is in one of these states. In literals: a parameter would meet none of DBOS'
    partial indexes, and SQLite wants their condition word for word."""
    words: list[sa.ColumnElement[str]] = [sa.literal_column(f"'{state}'") for state in states]
    return WORKFLOWS.c.state.in_(words) if len(words) > 1 else WORKFLOWS.c.state == words[0]


# The condition of the indexes of what has not ended.
IN_FLIGHT = in_state(State.WAITING, State.RUNNING)


def migrate(database: "Database") -> None:
    """Creates or updates DBOS' tables through our connections. Its own `migrate` makes a database that is not there:
    a typo would be a new one."""
    _sys_db.SystemDatabase.create(
        system_database_url=database.engine.url.render_as_string(),
        engine_kwargs={},
        engine=database.engine,
        schema=SCHEMA,
        serializer=JsonSerializer(),
        executor_id=None,
    ).run_migrations()


def versions(database: "Database") -> tuple[int, int]:
    """The version of DBOS' tables that is there, and the one that this DBOS needs."""
    if not database.on_server:
        return _migration.get_sqlite_migration_versions(database.engine)
    return _migration.get_migration_versions(database.engine, SCHEMA, use_listen_notify=True)


def active(dbos: DBOS) -> set[str]:
    """The ids of the workflows that run in this process."""
    return set(dbos._active_workflows_set.activeList())


def on_recorded(dbos: DBOS, told: Callable[[str, bool], None]) -> None:
    """Has `told` called, on this loop, with the id of each workflow that ends here, and whether its outcome was
    recorded: not when another worker has taken it over meanwhile."""
    loop = asyncio.get_running_loop()
    record = dbos._sys_db.update_workflow_outcome

    def recorded(workflow_id: str, status: Any, **outcome: Any) -> bool:
        written = record(workflow_id, status, **outcome)
        with suppress(RuntimeError):  # at the process' end the loop may be closed already
            loop.call_soon_threadsafe(told, workflow_id, written)
        return written

    dbos._sys_db.update_workflow_outcome = recorded  # type: ignore[method-assign]


def read_json_only(told: Callable[[], None]) -> None:
    """DBOS chooses by a column of the row how it reads a value, and one of its ways, pickle, runs code. Only our way is
    left; `told` is called where a row asks for another."""

    def refuse(_: str) -> NoReturn:
        told()
        raise TypeError("This value is stored in a foreign form, which is not read.")

    for foreign in (_serialization.DBOSDefaultSerializer, _serialization.DBOSPortableJSON):
        foreign.deserialize = refuse  # type: ignore[method-assign, assignment]


def go_by(clock: Callable[[], float]) -> None:
    """Has DBOS ask `clock`, and not the machine, when a delay ends and when the time of a schedule has come."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls.fromtimestamp(clock(), tz)

    asked = ModuleType(time.__name__)
    vars(asked).update(vars(time), time=clock)
    vars(_scheduler).update(datetime=Clock)
    for module in (_enqueue_options, _sys_db):
        vars(module).update(time=asked)


def ticks(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """The times of a schedule, as DBOS' scheduler reckons them."""
    reckoned = vars(_scheduler)["croniter"](cron, after.astimezone(ZoneInfo(timezone)), second_at_beginning=True)
    times: Iterator[datetime] = reckoned.all_next(datetime)
    return times


def running() -> set[asyncio.Task[object]]:
    """The workflows that run on this loop."""
    return {task for task in asyncio.all_tasks() if _RUNS_A_WORKFLOW in repr(task.get_coro())}


def log_as_everybody() -> None:
    """Sends DBOS' warnings into the one stream of JSON, without its own handler and without what may hold a prompt."""
    logger = logging.getLogger("dbos")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.WARNING)
    logger.addFilter(_without_arguments)


def _without_arguments(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_WITH_ARGUMENTS)
