"""The database answers, and says no: it is read-only for a while, its disk is full, its row is nobody's."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from support.figures import Row
from support.fleet import Fleet
from support.postgres import Postgres
from support.processes import Redis, Service, Upstream, call
from support.waiting import becomes

pytestmark = pytest.mark.chaos

REFUSES_SECONDS = 8.0
TASKS = 8


@contextmanager
def read_only(fleet: Fleet) -> Iterator[None]:
    """PostgreSQL refuses every write, as a demoted primary does."""
    engine = fleet.database.engine.execution_options(isolation_level="AUTOCOMMIT")

    def say(value: str) -> None:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            connection.exec_driver_sql("SELECT pg_reload_conf()")

    say("on")
    try:
        yield
    finally:
        say("off")


@contextmanager
def no_right(fleet: Fleet) -> Iterator[None]:
    """The workers' role may not record a step, until somebody notices."""
    with fleet.database.engine.begin() as connection:
        connection.exec_driver_sql("REVOKE INSERT ON dbos.operation_outputs FROM service")
    try:
        yield
    finally:
        with fleet.database.engine.begin() as connection:
            connection.exec_driver_sql("GRANT INSERT ON dbos.operation_outputs TO service")


@contextmanager
def cancelled(fleet: Fleet) -> Iterator[None]:
    """The server breaks off each statement that records a step, as a time-out or an operator does."""
    says_no = "RAISE EXCEPTION USING ERRCODE = '57014', MESSAGE = 'canceling statement due to statement timeout'"
    with fleet.database.engine.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE FUNCTION dbos.says_no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {says_no}; END $$"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER no BEFORE INSERT ON dbos.operation_outputs EXECUTE FUNCTION dbos.says_no()"
        )
    try:
        yield
    finally:
        with fleet.database.engine.begin() as connection:
            connection.exec_driver_sql("DROP TRIGGER no ON dbos.operation_outputs")


@contextmanager
def not_found(server: Postgres, fleet: Fleet) -> Iterator[None]:
    """The server's socket is missing, as behind a proxy that restarts, and its connections have ended."""
    away = server.socket.rename(server.socket.with_suffix(".away"))
    fleet.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_addr IS NULL AND datname <> ''")
    try:
        yield
    finally:
        away.rename(server.socket)


@contextmanager
def no_room(workers: list[Service]) -> Iterator[None]:
    """No file of these processes takes another byte."""
    before = [resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (0, -1)) for worker in workers]
    try:
        yield
    finally:
        for worker, limits in zip(workers, before, strict=True):
            resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, limits)


async def _all_end_while_the_database_refuses(fleet: Fleet, row: Row, refusing: object) -> None:
    """The outcome falls into the time in which nothing can be written; nothing is paid twice."""
    (worker,) = fleet.workers
    views = await fleet.submit_many(TASKS)
    for view in views:
        await fleet.begun(view)
    with refusing:  # type: ignore[attr-defined]
        await asyncio.sleep(REFUSES_SECONDS)
        ready, _ = call("GET", f"{worker.url}/readyz")
        counted = worker.metric("tasks_total")
        recorded = len(fleet.rows("SELECT 1 FROM workflow_status WHERE status IN ('SUCCESS', 'ERROR')"))
    ended = await fleet.all_ended(views, within=60)
    await becomes(lambda: worker.metric("tasks_total") == TASKS, within=5, what="each is counted once")
    paid_again, _ = fleet.repeated()
    row.shows(
        readyz_meanwhile=ready,
        counted_meanwhile=f"{counted:g} of {recorded} recorded",
        ended={str(view.status) for view in ended},
        recorded_and_repeated=paid_again,
    )
    assert {view.status for view in ended} == {"completed"}
    assert sum(view.takeovers for view in ended) == 0
    assert paid_again == 0
    assert "The tool said" not in worker.output, "a refused statement is logged without its parameters"
    assert counted <= recorded, "no outcome is counted before it is recorded"
    assert ready == 503, "a worker that can record nothing is not ready"


@pytest.mark.proves("reliability.failover")
@pytest.mark.proves("pattern.queue")
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_postgres_is_read_only_for_eight_seconds(fleet: Fleet, row: Row) -> None:
    """8 tasks in hand, and a server that refuses every write for 8 s: all are completed by the worker that has them."""
    fleet.upstream.plays(latency=1.5)
    await asyncio.to_thread(fleet.start)
    await _all_end_while_the_database_refuses(fleet, row, read_only(fleet))


@pytest.mark.proves("reliability.failover")
@pytest.mark.proves("pattern.queue")
@pytest.mark.parametrize("refusing", [no_right, cancelled])
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_postgres_refuses_a_statement_of_tasks(
    fleet: Fleet, refusing: Callable[[Fleet], AbstractContextManager[None]], row: Row
) -> None:
    """8 tasks in hand, and for 4 s their steps, and nothing else, cannot be recorded, for want of a right or by a
    time-out: all are completed, and no call is paid twice."""
    fleet.upstream.plays(latency=1.5)
    await asyncio.to_thread(fleet.start, QUEUE__DATABASE_URL=fleet.as_service())
    views = await fleet.submit_many(TASKS)
    for view in views:
        await fleet.begun(view)
    with refusing(fleet):
        await asyncio.sleep(4)
    ended = await fleet.all_ended(views, within=60)
    row.shows(ended={str(view.status) for view in ended}, calls=fleet.upstream.attempts(None))
    assert {view.status for view in ended} == {"completed"}
    assert fleet.upstream.attempts(None) == 2 * TASKS


@pytest.mark.proves("reliability.failover")
@pytest.mark.proves("pattern.queue")
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_postgres_cannot_be_found_for_eight_seconds(fleet: Fleet, shared_postgres: Postgres, row: Row) -> None:
    """8 tasks in hand, and no way to the server for 8 s: all are completed by the worker that has them, and wait."""
    fleet.upstream.plays(latency=1.5)
    worker = await asyncio.to_thread(fleet.start, QUEUE__DATABASE_URL=shared_postgres.by_socket(fleet.url))
    await _all_end_while_the_database_refuses(fleet, row, not_found(shared_postgres, fleet))
    assert not worker.logs("run_failed_unexpectedly")


@pytest.mark.proves("reliability.failover")
@pytest.mark.proves("pattern.queue")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_sqlite_may_not_write_for_eight_seconds(fleet: Fleet, row: Row) -> None:
    """8 tasks in hand, and files that take no byte for 8 s: all are completed by the worker that has them."""
    fleet.upstream.plays(latency=1.5)
    await asyncio.to_thread(fleet.start)
    await _all_end_while_the_database_refuses(fleet, row, no_room(fleet.workers))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    try:
        yield
    finally:
        filler.unlink()


@pytest.mark.proves("pattern.queue")
async def test_the_disk_of_sqlite_is_full_and_freed(
    small_disk: Path, tmp_path: Path, upstream: Upstream, redis: Redis, row: Row
) -> None:
    """8 tasks in hand, and a disk that is full for 8 s: all are completed by the worker that has them."""
    fleet = Fleet(f"sqlite:///{small_disk}/tasks.sqlite3", tmp_path, upstream, redis.url)
    try:
        upstream.plays(latency=1.5)
        await asyncio.to_thread(fleet.start)
        await _all_end_while_the_database_refuses(fleet, row, full(small_disk))
    finally:
        upstream.plays()
        fleet.stop()


@pytest.mark.proves("pattern.queue")
async def test_a_task_that_its_living_worker_has_lost_goes_on(fleet: Fleet, row: Row) -> None:
    """A row says that a worker runs the task, and the worker does not: it takes the task up again within 15 s."""
    worker = await asyncio.to_thread(fleet.start)
    view = await fleet.submit("hello", id="lost", delay_seconds=600)
    (me,) = fleet.rows("SELECT executor_id FROM queue_workers WHERE beat > 0")
    fleet.rows(
        "UPDATE workflow_status SET status = 'PENDING', executor_id = :me, owner_xid = 'lost', recovery_attempts = 1"
        " WHERE workflow_uuid = 'acme/lost'",
        me=me.executor_id,
    )
    ended = await fleet.ended(view, within=15)
    row.shows(status=str(ended.status), takeovers=ended.takeovers)
    assert (ended.status, ended.takeovers) == ("completed", 0), "its worker had not died"
    assert worker.logs("task_lost")


@pytest.mark.proves("reliability.timeouts")
@pytest.mark.proves("pattern.queue")
async def test_a_task_that_nobody_ends_ends_after_its_deadline(fleet: Fleet, row: Row) -> None:
    """Its worker hangs where no time-out reaches: past the deadline, the database is told without it."""
    worker = await asyncio.to_thread(fleet.start)
    view = await fleet.submit("hello", id="stuck", delay_seconds=600)
    fleet.rows(
        "UPDATE workflow_status SET status = 'PENDING', executor_id = 'elsewhere', owner_xid = 'stuck',"
        " attributes = :attributes WHERE workflow_uuid = 'acme/stuck'",
        attributes='{"deadline_at": 1.0, "fingerprint": "x", "strikes": 0}',
    )
    fleet.rows("INSERT INTO queue_workers VALUES ('elsewhere', 99999999999, 0)")  # it beats, and does nothing
    ended = await fleet.ended(view, within=30)
    row.shows(status=str(ended.status))
    assert ended.status == "failed"
    assert ended.error
    assert ended.error.type == "urn:problem:deadline-exceeded"
    await becomes(lambda: worker.metric("tasks_total", outcome="failed") == 1, what="it is counted")
