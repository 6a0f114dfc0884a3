"""The tables of DBOS, which it does not promise: what is asked of them; changes.py has what is changed in them.

Before an update of DBOS, look here. tests/queue/dbos/test_internals.py fails with a sentence when one of them changes.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..meters import Depth, Shares
from .database import BATCHES, QUEUE, WORKFLOW, Database
from .serial import JsonSerializer

TABLE = "workflow_status"
SCHEDULES = "workflow_schedules"
VERSIONED = "-v"  # in the name of a worker, before its version
_DEAD = '["ended",{"status":"dead",%'  # the beginning of a dead letter's stored error
_ERROR_CHARS = 8192


class Stored(NamedTuple):
    """A task's row, times in milliseconds."""

    id: str
    tenant: str | None
    status: str
    queue: str | None
    created_at: int
    started_at: int | None
    ended_at: int | None
    claims: int
    attributes: dict[str, Any]
    serialization: str | None
    output: str | None
    error: str | None
    now: float  # in seconds, by the database's clock

    @property
    def foreign(self) -> bool:
        """Whether its values are in a form that is not ours."""
        return self.serialization != JsonSerializer.NAME


def tasks(
    database: Database,
    *,
    id: str | None = None,
    tenant: str | None = None,
    statuses: Sequence[str] = (),
    dead: bool | None = None,
    until: int | None = None,
    skip: int = 0,
    limit: int = 1,
    answers: bool = False,
) -> list[Stored]:
    """Rows of tasks, newest first. A row is small: the answer is read only where it is asked for.

    Args:
        id: the task's, in its stored form.
        dead: whether those with an error are dead letters, or have failed.
        until: in milliseconds.
    """
    wanted = {
        "task.workflow_uuid = :id": id,
        "authenticated_user = :tenant": tenant,
        "created_at <= :until": until,
        "(coalesce(ending.error, '') LIKE :ending) = :dead": dead,
    }
    conditions = ["name = :name", *(condition for condition, value in wanted.items() if value is not None)]
    if statuses:
        conditions.append(f"status IN ({', '.join(repr(status) for status in statuses)})")
    same = "task.workflow_uuid" if database.schema else "task.rowid DESC"  # SQLite's clock has whole seconds here
    rows = database.ask(
        "SELECT task.workflow_uuid, authenticated_user, status, queue_name, created_at, started_at_epoch_ms,"  # noqa: S608
        f" completed_at, recovery_attempts, attributes, serialization, {'ending.output' if answers else 'NULL'},"
        f" substr(ending.error, 1, {_ERROR_CHARS}), {database.now} FROM {database.schema}{TABLE} AS task"
        f" LEFT JOIN {database.schema}workflow_output AS ending ON ending.workflow_uuid = task.workflow_uuid"
        f" WHERE {' AND '.join(conditions)} ORDER BY created_at DESC, {same} LIMIT :limit OFFSET :skip",
        name=WORKFLOW,
        id=id,
        tenant=tenant,
        until=until,
        dead=dead,
        ending=_DEAD,
        limit=limit,
        skip=skip,
    )
    return [Stored._make([*row[:8], _attributes(row[8]), *row[9:]]) for row in rows]


def _attributes(stored: Any) -> dict[str, Any]:
    """SQLite gives JSON as text."""
    return json.loads(stored) if isinstance(stored, str) else stored or {}


def held_by(database: Database, executor_id: str) -> set[tuple[str, str]]:
    """The workflows that a worker holds by its rows: ids, and the marks of the claims."""
    rows = database.ask(
        f"SELECT workflow_uuid, owner_xid FROM {database.schema}{TABLE}"  # noqa: S608
        " WHERE status = 'PENDING' AND executor_id = :me",
        me=executor_id,
    )
    return {(row.workflow_uuid, row.owner_xid) for row in rows}


def held_by_the_dead(database: Database, dead_seconds: float) -> list[str]:
    """The workers that hold tasks and have not beaten for so long. A worker beats before it takes its first task."""
    rows = database.ask(
        f"SELECT DISTINCT held.executor_id FROM {database.schema}{TABLE} AS held"  # noqa: S608
        " LEFT JOIN queue_workers ON queue_workers.executor_id = held.executor_id"
        f" WHERE held.status = 'PENDING' AND coalesce(beat, 0) < {database.now} - :dead",
        dead=dead_seconds,
    )
    return [row.executor_id for row in rows]


class Version(NamedTuple):
    """The open tasks of one version of the workflow. Tasks that have not begun have none: every version takes them."""

    version: str | None
    waiting: int
    running: int
    workers: int  # alive


def versions(database: Database, dead_seconds: float) -> list[Version]:
    """What is open, by the version that has begun it."""
    tasks = database.ask(
        "SELECT application_version AS version, sum(CASE status WHEN 'PENDING' THEN 1 ELSE 0 END) AS running,"  # noqa: S608
        f" count(*) AS number FROM {database.schema}{TABLE}"
        " WHERE name = :name AND status IN ('ENQUEUED', 'DELAYED', 'PENDING') GROUP BY application_version",
        name=WORKFLOW,
    )
    beating = f"SELECT executor_id FROM queue_workers WHERE beat > {database.now} - :dead AND executor_id <> ''"  # noqa: S608
    alive = Counter(row.executor_id.rpartition(VERSIONED)[2] for row in database.ask(beating, dead=dead_seconds))
    found = {row.version: Version(row.version, row.number - row.running, row.running, 0) for row in tasks}
    for version, workers in alive.items():
        found[version] = found.get(version, Version(version, 0, 0, 0))._replace(workers=workers)
    return sorted(found.values(), key=lambda one: one.version or "")


def depth(database: Database) -> Depth:
    """Counts the waiting tasks by DBOS' partial indexes, so that ended tasks, which are far more, cost nothing.

    SQLite uses such an index only where a query repeats its condition word for word.
    """
    mine = f"FROM {database.schema}{TABLE} WHERE queue_name IN (:queue, :batches) AND status"
    [row] = database.ask(
        f"SELECT count(*) AS enqueued, min(updated_at) AS oldest, {database.now} AS now,"
        f" (SELECT count(*) {mine} = 'DELAYED') AS delayed"
        f" {mine} = 'ENQUEUED' AND status IN ('ENQUEUED', 'PENDING')",
        queue=QUEUE,
        batches=BATCHES,
    )
    return Depth(row.enqueued, max(0.0, row.now - row.oldest / 1000) if row.oldest else 0.0, row.delayed)


def by_tenant(database: Database) -> Shares:
    """Counts the waiting tasks of each tenant, by the same indexes."""
    mine = f"FROM {database.schema}{TABLE} WHERE queue_name IN (:queue, :batches) AND status"
    each = "queue_partition_key AS tenant, count(*) AS number"
    rows = database.ask(
        f"SELECT 0 AS delayed, {each} {mine} = 'ENQUEUED' AND status IN ('ENQUEUED', 'PENDING') GROUP BY tenant"
        f" UNION ALL SELECT 1, {each} {mine} = 'DELAYED' GROUP BY tenant",
        queue=QUEUE,
        batches=BATCHES,
    )
    return {late: Counter({row.tenant: row.number for row in rows if row.delayed == late}) for late in (False, True)}


class Kept(NamedTuple):
    """A schedule as DBOS keeps it. `met_at` is its last time that was met, or None."""

    name: str
    cron: str
    timezone: str
    met_at: str | None


def schedules(database: Database) -> list[Kept]:
    columns = "schedule_name, schedule, coalesce(cron_timezone, 'UTC'), last_fired_at"
    return [Kept._make(row) for row in database.ask(f"SELECT {columns} FROM {database.schema}{SCHEDULES}")]  # noqa: S608


def stamps(database: Database, workflow_ids: list[str]) -> dict[str, object]:
    """For each of these workflows, what changes whenever its view does. The contents stay in the database."""
    query = sa.text(
        "SELECT workflow_uuid, status, started_at_epoch_ms, recovery_attempts"  # noqa: S608
        f" FROM {database.schema}{TABLE} WHERE workflow_uuid IN :ids"
    ).bindparams(sa.bindparam("ids", expanding=True, type_=sa.Text()))
    with database.engine.connect() as connection:
        return {row[0]: tuple(row[1:]) for row in connection.execute(query, {"ids": workflow_ids})}
