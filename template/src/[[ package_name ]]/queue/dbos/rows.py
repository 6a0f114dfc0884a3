"""What is asked of the tables of DBOS; changes.py has what is changed in them, internals.py their names."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..meters import Depth, Shares
from .database import BATCHES, QUEUE, WORKERS, WORKFLOW, Database
from .internals import ENDINGS, IN_FLIGHT, SCHEDULES, WORKFLOWS, State, in_state
from .serial import JsonSerializer

VERSIONED = "-v"  # in the name of a worker, before its version
_DEAD = '["ended",{"status":"dead",%'  # the beginning of a dead letter's stored error
_ERROR_CHARS = 8192
_ROW = WORKFLOWS.c


class Stored(NamedTuple):
    """A task's row, times in milliseconds."""

    id: str
    tenant: str | None
    state: str
    queue: str | None
    created_at: int
    started_at: int | None
    ended_at: int | None
    claims: int
    attributes: dict[str, Any]
    form: str | None
    output: str | None
    error: str | None
    now: float  # in seconds, by the database's clock

    @property
    def foreign(self) -> bool:
        """Whether its values are in a form that is not ours."""
        return self.form != JsonSerializer.NAME


def tasks(
    database: Database,
    *,
    id: str | None = None,
    tenant: str | None = None,
    states: Sequence[State] = (),
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
    wanted = [_ROW.name == WORKFLOW]
    if id is not None:
        wanted.append(_ROW.id == id)
    if tenant is not None:
        wanted.append(_ROW.tenant == tenant)
    if until is not None:
        wanted.append(_ROW.created_at <= until)
    if states:
        wanted.append(in_state(*states))
    if dead is not None:
        letter = sa.func.coalesce(ENDINGS.c.error, "").like(_DEAD)
        wanted.append(letter if dead else ~letter)
    # SQLite's clock has whole seconds here.
    same = _ROW.id if database.on_server else sa.literal_column(f"{WORKFLOWS.name}.rowid").desc()
    query = (
        sa.select(
            *(_ROW.id, _ROW.tenant, _ROW.state, _ROW.queue, _ROW.created_at, _ROW.started_at, _ROW.ended_at),
            *(_ROW.claims, _ROW.attributes, _ROW.form, ENDINGS.c.output if answers else sa.null()),
            *(sa.func.substr(ENDINGS.c.error, 1, _ERROR_CHARS), database.now),
        )
        .outerjoin_from(WORKFLOWS, ENDINGS, ENDINGS.c.id == _ROW.id)
        .where(*wanted)
        .order_by(_ROW.created_at.desc(), same)
        .limit(limit)
        .offset(skip)
    )
    return [Stored._make([*row[:8], _attributes(row[8]), *row[9:]]) for row in database.ask(query)]


def _attributes(stored: Any) -> dict[str, Any]:
    """SQLite gives JSON as text."""
    return json.loads(stored) if isinstance(stored, str) else stored or {}


def held_by(database: Database, worker: str) -> set[tuple[str, str]]:
    """The workflows that a worker holds by its rows: ids, and the marks of the claims."""
    query = sa.select(_ROW.id, _ROW.claim).where(in_state(State.RUNNING), _ROW.worker == worker)
    return {(id, claim) for id, claim in database.ask(query)}


def held_by_the_dead(database: Database, dead_seconds: float, judge: str) -> list[str]:
    """The workers that hold tasks and had not beaten for so long when the worker `judge` did. A worker beats before it
    takes its first task. By the time of this question all beats are old where the database held up the judge's."""
    latest = sa.select(sa.func.max(WORKERS.c.beat)).where(WORKERS.c.worker == judge).correlate(None).scalar_subquery()
    query = (
        sa.select(_ROW.worker)
        .distinct()
        .outerjoin_from(WORKFLOWS, WORKERS, WORKERS.c.worker == _ROW.worker)
        .where(in_state(State.RUNNING), sa.func.coalesce(WORKERS.c.beat, 0) < latest - dead_seconds)
    )
    return [worker for (worker,) in database.ask(query)]


class Version(NamedTuple):
    """The open tasks of one version of the workflow. Tasks that have not begun have none: every version takes them."""

    version: str | None
    waiting: int
    running: int
    workers: int  # alive


def versions(database: Database, dead_seconds: float) -> list[Version]:
    """What is open, by the version that has begun it."""
    running = sa.func.sum(sa.case((in_state(State.RUNNING), 1), else_=0))
    opened = _ROW.name == WORKFLOW, in_state(State.WAITING, State.DELAYED, State.RUNNING)
    tasks = database.ask(sa.select(_ROW.version, running, sa.func.count()).where(*opened).group_by(_ROW.version))
    beating = sa.select(WORKERS.c.worker).where(WORKERS.c.beat > database.now - dead_seconds, WORKERS.c.worker != "")
    alive = Counter(worker.rpartition(VERSIONED)[2] for (worker,) in database.ask(beating))
    found = {version: Version(version, number - running, running, 0) for version, running, number in tasks}
    for version, workers in alive.items():
        found[version] = found.get(version, Version(version, 0, 0, 0))._replace(workers=workers)
    return sorted(found.values(), key=lambda one: one.version or "")


def depth(database: Database) -> Depth:
    """Counts the waiting tasks by DBOS' partial indexes, so that ended tasks, which are far more, cost nothing."""
    mine = _ROW.queue.in_([QUEUE, BATCHES])
    delayed = sa.select(sa.func.count()).select_from(WORKFLOWS).where(mine, in_state(State.DELAYED)).scalar_subquery()
    query = sa.select(sa.func.count(), sa.func.min(_ROW.changed_at), database.now, delayed)
    [(waiting, oldest, now, later)] = database.ask(query.where(mine, in_state(State.WAITING), IN_FLIGHT))
    return Depth(waiting, max(0.0, now - oldest / 1000) if oldest else 0.0, later)


def by_tenant(database: Database) -> Shares:
    """Counts the waiting tasks of each tenant, by the same indexes."""
    shares: Shares = {}
    for late, which in ((False, (in_state(State.WAITING), IN_FLIGHT)), (True, (in_state(State.DELAYED),))):
        query = sa.select(_ROW.share, sa.func.count()).where(_ROW.queue.in_([QUEUE, BATCHES]), *which)
        shares[late] = Counter(dict(database.ask(query.group_by(_ROW.share))))
    return shares


class Kept(NamedTuple):
    """A schedule as DBOS keeps it. `met_at` is its last time that was met, or None."""

    name: str
    cron: str
    timezone: str
    met_at: str | None


def schedules(database: Database) -> list[Kept]:
    columns = SCHEDULES.c
    query = sa.select(columns.name, columns.cron, sa.func.coalesce(columns.timezone, "UTC"), columns.met_at)
    return [Kept._make(row) for row in database.ask(query)]


def stamps(database: Database, workflow_ids: list[str]) -> dict[str, object]:
    """For each of these workflows, what changes whenever its view does. The contents stay in the database."""
    query = sa.select(_ROW.id, _ROW.state, _ROW.started_at, _ROW.claims).where(_ROW.id.in_(workflow_ids))
    return {id: tuple(stamp) for id, *stamp in database.ask(query)}
