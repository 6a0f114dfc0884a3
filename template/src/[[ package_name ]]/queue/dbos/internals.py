"""The parts of DBOS that this engine uses and that DBOS does not promise: its tables, and names inside its code.

Before an update of DBOS, look here. tests/queue/dbos/test_internals.py fails with a sentence when one of them changes.
"""

import asyncio
import logging
import time

import sqlalchemy as sa
from dbos import DBOS

from ..meters import Depth
from .database import BATCHES, QUEUE, Database

_RUNS_A_WORKFLOW = "_execute_workflow"  # the name of a coroutine
_WITH_ARGUMENTS = "Asyncio task cancelled"  # the beginning of a warning that quotes a step's arguments
_TABLE = "workflow_status"
_CONTENTS = ("workflow_input", "workflow_output", "operation_outputs")  # the other tables follow by themselves


def put_back(executor_id: str) -> None:
    """Puts the tasks that a dead worker still holds back into the queue, and no others: a repetition is harmless."""
    DBOS._recover_pending_workflows([executor_id])


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


def depth(database: Database) -> Depth:
    """Counts the waiting tasks by DBOS' partial indexes, so that ended tasks, which are far more, cost nothing.

    SQLite uses such an index only where a query repeats its condition word for word.
    """
    mine = f"FROM {database.schema}{_TABLE} WHERE queue_name IN (:queue, :batches) AND status"
    [row] = database.ask(
        f"SELECT count(*) AS enqueued, min(updated_at) AS oldest, {database.now} AS now,"
        f" (SELECT count(*) {mine} = 'DELAYED') AS delayed"
        f" {mine} = 'ENQUEUED' AND status IN ('ENQUEUED', 'PENDING')",
        queue=QUEUE,
        batches=BATCHES,
    )
    return Depth(row.enqueued + row.delayed, max(0.0, row.now - row.oldest / 1000) if row.oldest else 0.0)


def stamps(database: Database, workflow_ids: list[str]) -> dict[str, object]:
    """For each of these workflows, what changes whenever its view does. The contents stay in the database."""
    query = sa.text(
        "SELECT workflow_uuid, status, started_at_epoch_ms, recovery_attempts"  # noqa: S608
        f" FROM {database.schema}{_TABLE} WHERE workflow_uuid IN :ids"
    ).bindparams(sa.bindparam("ids", expanding=True, type_=sa.Text()))
    with database.engine.connect() as connection:
        return {row[0]: tuple(row[1:]) for row in connection.execute(query, {"ids": workflow_ids})}


def held_by_the_dead(database: Database, dead_seconds: float) -> list[str]:
    """The workers that hold tasks and have not beaten for so long, or never."""
    rows = database.ask(
        f"SELECT held.executor_id FROM (SELECT executor_id, max(started_at_epoch_ms) AS begun"  # noqa: S608
        f" FROM {database.schema}{_TABLE} WHERE status = 'PENDING' GROUP BY executor_id) AS held"
        " LEFT JOIN queue_workers ON queue_workers.executor_id = held.executor_id"
        f" WHERE coalesce(beat, held.begun / 1000.0) < {database.now} - :dead",
        dead=dead_seconds,
    )
    return [row.executor_id for row in rows]


def forget_workers(database: Database) -> None:
    """Drops the rows of workers that have been gone for an hour and hold nothing."""
    database.do(
        f"DELETE FROM queue_workers WHERE beat < {database.now} - 3600 AND executor_id NOT IN"  # noqa: S608
        f" (SELECT executor_id FROM {database.schema}{_TABLE} WHERE status = 'PENDING' AND executor_id IS NOT NULL)"
    )


def forget(database: Database, days: float, at_most: int = 500) -> int:
    """Deletes tasks that ended so long ago, with all that DBOS keeps of them, and returns their number.

    One transaction with conditions: a dead letter that is retried at this moment stays, and a new task with an old id
    finds nothing of its predecessor.
    """
    until = int((time.time() - days * 86_400) * 1000)  # a value, for which the database has an index
    old = f"FROM {database.schema}{_TABLE} WHERE completed_at < :until"
    some = f"SELECT workflow_uuid {old} ORDER BY completed_at LIMIT :at_most"
    ended = f"DELETE {old} AND workflow_uuid IN ({some}) RETURNING workflow_uuid"
    with database.turn, database.engine.begin() as connection:
        found = connection.execute(sa.text(ended), {"until": until, "at_most": at_most}).scalars().all()
        for table in _CONTENTS:
            rest = sa.text(f"DELETE FROM {database.schema}{table} WHERE workflow_uuid IN :ids")  # noqa: S608
            connection.execute(rest.bindparams(sa.bindparam("ids", expanding=True, type_=sa.Text())), {"ids": found})
    return len(found)
