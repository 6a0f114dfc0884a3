"""The tables of DBOS, which it does not promise: what is changed in them; rows.py has what is asked of them.

Before an update of DBOS, look here. tests/queue/dbos/test_internals.py fails with a sentence when one of them changes.
"""

from typing import Any

import sqlalchemy as sa

from .database import WORKFLOW, Database
from .rows import SCHEDULES, TABLE, VERSIONED

_NO_QUEUE = "_dbos_internal_queue"  # of workflows that were started without one
_CONTENTS = ("workflow_input", "workflow_output", "operation_outputs")  # the other tables follow by themselves


def write(database: Database) -> bool:
    """Writes a row that says nothing. False if PostgreSQL does not let this user change the tables of tasks any more.

    Raises:
        SQLAlchemyError: the database cannot be reached, or takes no writes.
    """
    tables = ", ".join(f"'{database.schema}{table}'" for table in (TABLE, *_CONTENTS))
    allowed = (
        f"(SELECT bool_and(has_table_privilege(name, needed)) FROM unnest(ARRAY[{tables}]) AS name,"  # noqa: S608
        " unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS needed)"
    )
    with database.turn, database.engine.begin() as connection:
        written = connection.execute(
            sa.text(
                f"INSERT INTO queue_workers SELECT '', 0, {database.now} WHERE {allowed if database.schema else 'true'}"
                " ON CONFLICT (executor_id) DO UPDATE SET since = excluded.since"
            )
        ).rowcount
    return bool(written)


def put_back(database: Database, executor_id: str, *, died: bool) -> int:
    """Puts what a worker holds back into the queues, and returns its number. It counts as a takeover if the worker has
    died, and not if it has left. A repetition is harmless."""
    return _put_back(database, "executor_id = :executor", died=died, executor=executor_id)


def take_up(database: Database, workflow_id: str, claim: str) -> None:
    """Puts a workflow back into its queue, if the claim is still the same. Nobody has died: it is no takeover."""
    _put_back(database, "workflow_uuid = :id AND owner_xid = :claim", died=False, id=workflow_id, claim=claim)


def _put_back(database: Database, which: str, *, died: bool, **values: object) -> int:
    claims = "" if died else ", recovery_attempts = recovery_attempts - 1"
    with database.turn, database.engine.begin() as connection:
        return connection.execute(
            sa.text(
                f"UPDATE {database.schema}{TABLE} SET status = 'ENQUEUED', owner_xid = NULL,"  # noqa: S608
                f" started_at_epoch_ms = NULL, updated_at = CAST({database.now} * 1000 AS BIGINT),"
                f" queue_name = coalesce(queue_name, '{_NO_QUEUE}'){claims} WHERE status = 'PENDING' AND {which}"
            ),
            values,
        ).rowcount


def cancel(connection: sa.Connection, database: Database, workflow_id: str) -> str | None:
    """Cancels a task that has not ended, and returns its inputs. Its worker sees it, and breaks off."""
    ended = _end(connection, database, "CANCELLED", "workflow_uuid = :id", id=workflow_id)
    return ended[0][1] if ended else None


def end_overdue(connection: sa.Connection, database: Database, seconds: float, error: str) -> list[tuple[str, str]]:
    """Ends tasks whose deadline passed so long ago, with this stored error; the result is their ids and inputs."""
    late = f"CAST(attributes ->> 'deadline_at' AS DOUBLE PRECISION) < {database.now} - :seconds LIMIT 100"
    free = " FOR UPDATE SKIP LOCKED" if database.schema else ""
    ended = _end(connection, database, "ERROR", late + free, seconds=seconds)
    stored = (
        f"INSERT INTO {database.schema}workflow_output (workflow_uuid, error) VALUES (:id, :error)"  # noqa: S608
        " ON CONFLICT (workflow_uuid) DO UPDATE SET output = NULL, error = excluded.error"
    )
    for workflow_id, _ in ended:
        connection.execute(sa.text(stored), {"id": workflow_id, "error": error})
    return ended


def _end(connection: sa.Connection, database: Database, status: str, which: str, **values: Any) -> list[Any]:
    table, now = f"{database.schema}{TABLE}", f"CAST({database.now} * 1000 AS BIGINT)"
    going_on = "status IN ('ENQUEUED', 'PENDING', 'DELAYED')"
    statement = (
        f"UPDATE {table} SET status = '{status}', owner_xid = NULL, updated_at = {now}, completed_at = {now}"  # noqa: S608
        f" WHERE workflow_uuid IN (SELECT workflow_uuid FROM {table} WHERE {going_on} AND name = :name AND {which})"
        f" RETURNING workflow_uuid, (SELECT inputs FROM {database.schema}workflow_input AS given"
        f" WHERE given.workflow_uuid = {TABLE}.workflow_uuid)"
    )
    return list(connection.execute(sa.text(statement), {"name": WORKFLOW, **values}).all())


def adopt(database: Database, version: str, dead_seconds: float) -> int:
    """Gives waiting tasks that another version has begun to this one, where no worker of that version is left. The
    result is their number."""
    with database.turn, database.engine.begin() as connection:
        return connection.execute(
            sa.text(
                f"UPDATE {database.schema}{TABLE} SET application_version = :version"  # noqa: S608
                " WHERE status IN ('ENQUEUED', 'DELAYED') AND application_version <> :version AND NOT EXISTS"
                f" (SELECT 1 FROM queue_workers WHERE beat > {database.now} - :dead"
                f" AND executor_id LIKE '%{VERSIONED}' || application_version)"
            ),
            {"version": version, "dead": dead_seconds},
        ).rowcount


def settle(database: Database, schedule: str, before: str | None, now: str) -> bool:
    """Notes up to when the times of a schedule are settled. False if another worker has moved this mark meanwhile."""
    with database.turn, database.engine.begin() as connection:
        moved = connection.execute(
            sa.text(
                f"UPDATE {database.schema}{SCHEDULES} SET last_fired_at = :now"  # noqa: S608
                " WHERE schedule_name = :name AND coalesce(last_fired_at, '') = :before"
            ),
            {"name": schedule, "before": before or "", "now": now},
        ).rowcount
    return bool(moved)


def forget_workers(database: Database) -> None:
    """Drops the rows of workers that have been gone for an hour and hold nothing."""
    database.do(
        f"DELETE FROM queue_workers WHERE beat < {database.now} - 3600 AND executor_id NOT IN"  # noqa: S608
        f" (SELECT executor_id FROM {database.schema}{TABLE} WHERE status = 'PENDING' AND executor_id IS NOT NULL)"
    )


def forget(database: Database, days: float, at_most: int = 500) -> int:
    """Deletes tasks that ended so long ago, with all that DBOS keeps of them, and returns their number.

    One transaction with conditions: a dead letter that is retried at this moment stays, and a new task with an old id
    finds nothing of its predecessor.
    """
    [row] = database.ask(f"SELECT {database.now} AS now")
    until = int((row.now - days * 86_400) * 1000)  # a value, for which the database has an index
    old = f"FROM {database.schema}{TABLE} WHERE completed_at < :until"
    some = f"SELECT workflow_uuid {old} ORDER BY completed_at LIMIT :at_most"
    ended = f"DELETE {old} AND workflow_uuid IN ({some}) RETURNING workflow_uuid"
    with database.turn, database.engine.begin() as connection:
        found = connection.execute(sa.text(ended), {"until": until, "at_most": at_most}).scalars().all()
        for table in _CONTENTS:
            rest = sa.text(f"DELETE FROM {database.schema}{table} WHERE workflow_uuid IN :ids")  # noqa: S608
            connection.execute(rest.bindparams(sa.bindparam("ids", expanding=True, type_=sa.Text())), {"ids": found})
    return len(found)
