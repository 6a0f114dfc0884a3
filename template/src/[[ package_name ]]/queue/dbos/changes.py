"""What is changed in the tables of DBOS; rows.py has what is asked of them, internals.py their names."""

from typing import Any

import sqlalchemy as sa

from .database import WORKERS, WORKFLOW, Database
from .internals import ENDINGS, INPUTS, NO_QUEUE, SCHEDULES, STEPS, WORKFLOWS, State, in_state
from .rows import VERSIONED

_CONTENTS = (INPUTS, ENDINGS, STEPS)  # the other tables follow by themselves
_ROW = WORKFLOWS.c


def write(database: Database) -> bool:
    """Writes a row that says nothing. False if PostgreSQL does not let this user change the tables of tasks any more.

    Raises:
        SQLAlchemyError: the database cannot be reached, or takes no writes.
    """
    tables = ", ".join(f"'{table.fullname}'" for table in (WORKFLOWS, *_CONTENTS))
    allowed = (
        f"(SELECT bool_and(has_table_privilege(name, needed)) FROM unnest(ARRAY[{tables}]) AS name,"  # noqa: S608
        " unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS needed)"
    )
    written = (
        f"INSERT INTO queue_workers SELECT '', 0, {database.now} WHERE {allowed if database.on_server else 'true'}"
        " ON CONFLICT (executor_id) DO UPDATE SET since = excluded.since"
    )
    with database.turn:
        return bool(database.do(written))


def put_back(database: Database, worker: str, *, died: bool) -> int:
    """Puts what a worker holds back into the queues, and returns its number. It counts as a takeover if the worker has
    died, and not if it has left. A repetition is harmless."""
    return _put_back(database, _ROW.worker == worker, died=died)


def take_up(database: Database, workflow_id: str, claim: str) -> None:
    """Puts a workflow back into its queue, if the claim is still the same. Nobody has died: it is no takeover."""
    _put_back(database, _ROW.id == workflow_id, _ROW.claim == claim, died=False)


def _put_back(database: Database, *which: sa.ColumnElement[bool], died: bool) -> int:
    change = (
        sa.update(WORKFLOWS)
        .where(in_state(State.RUNNING), *which)
        .values(
            state=State.WAITING,
            claim=None,
            started_at=None,
            changed_at=_milliseconds(database),
            queue=sa.func.coalesce(_ROW.queue, NO_QUEUE),
            claims=_ROW.claims if died else _ROW.claims - 1,
        )
    )
    with database.turn:
        return database.do(change)


def _milliseconds(database: Database) -> sa.ColumnElement[int]:
    return sa.cast(database.now * 1000, sa.BigInteger)


def cancel(connection: sa.Connection, database: Database, workflow_id: str) -> str | None:
    """Cancels a task that has not ended, and returns its inputs. Its worker sees it, and breaks off."""
    ended = _end(connection, database, State.CANCELLED, sa.select(_ROW.id).where(_ROW.id == workflow_id))
    return ended[0][1] if ended else None


def end_overdue(connection: sa.Connection, database: Database, seconds: float, error: str) -> list[tuple[str, str]]:
    """Ends tasks whose deadline passed so long ago, with this stored error; the result is their ids and inputs."""
    deadline = sa.cast(_ROW.attributes.op("->>")("deadline_at"), sa.Double)
    late = sa.select(_ROW.id).where(deadline < database.now - seconds).limit(100).with_for_update(skip_locked=True)
    ended = _end(connection, database, State.ENDED, late)
    if ended:
        connection.execute(sa.delete(ENDINGS).where(ENDINGS.c.id.in_([id for id, _ in ended])))
        connection.execute(sa.insert(ENDINGS), [{"id": id, "error": error} for id, _ in ended])
    return ended


def _end(connection: sa.Connection, database: Database, state: State, which: sa.Select[Any]) -> list[Any]:
    open_tasks = which.where(in_state(State.WAITING, State.RUNNING, State.DELAYED), _ROW.name == WORKFLOW)
    inputs = sa.select(INPUTS.c.value).where(INPUTS.c.id == _ROW.id).correlate(WORKFLOWS).scalar_subquery()
    now = _milliseconds(database)
    change = (
        sa.update(WORKFLOWS)
        .where(_ROW.id.in_(open_tasks.correlate(None)))
        .values(state=state, claim=None, changed_at=now, ended_at=now)
        .returning(_ROW.id, inputs)
    )
    return list(connection.execute(change).all())


def adopt(database: Database, version: str, dead_seconds: float) -> int:
    """Gives waiting tasks that another version has begun to this one, where no worker of that version is left. The
    result is their number."""
    theirs = WORKERS.c.worker.like(sa.literal(f"%{VERSIONED}") + _ROW.version)
    alive = sa.exists().where(WORKERS.c.beat > database.now - dead_seconds, theirs)
    waiting = in_state(State.WAITING, State.DELAYED), _ROW.version != version, ~alive
    with database.turn:
        return database.do(sa.update(WORKFLOWS).where(*waiting).values(version=version))


def settle(database: Database, schedule: str, before: str | None, now: str) -> bool:
    """Notes up to when the times of a schedule are settled. False if another worker has moved this mark meanwhile."""
    columns = SCHEDULES.c
    same = columns.name == schedule, sa.func.coalesce(columns.met_at, "") == (before or "")
    with database.turn:
        return bool(database.do(sa.update(SCHEDULES).where(*same).values(met_at=now)))


def forget_workers(database: Database) -> None:
    """Drops the rows of workers that have been gone for an hour and hold nothing."""
    busy = sa.select(_ROW.worker).where(in_state(State.RUNNING), _ROW.worker.is_not(None))
    gone = WORKERS.c.beat < database.now - 3600, WORKERS.c.worker.not_in(busy)
    database.do(sa.delete(WORKERS).where(*gone))


def forget(database: Database, days: float, at_most: int = 500) -> int:
    """Deletes tasks that ended so long ago, with all that DBOS keeps of them, and returns their number.

    One transaction with conditions: a dead letter that is retried at this moment stays, and a new task with an old id
    finds nothing of its predecessor.
    """
    [(now,)] = database.ask(sa.select(database.now))
    old = _ROW.ended_at < int((now - days * 86_400) * 1000)  # a value, for which the database has an index
    some = sa.select(_ROW.id).where(old).order_by(_ROW.ended_at).limit(at_most).correlate(None)
    with database.turn, database.engine.begin() as connection:
        ended = sa.delete(WORKFLOWS).where(old, _ROW.id.in_(some)).returning(_ROW.id)
        found = connection.execute(ended).scalars().all()
        for table in _CONTENTS:
            connection.execute(sa.delete(table).where(table.c.id.in_(found)))
    return len(found)
