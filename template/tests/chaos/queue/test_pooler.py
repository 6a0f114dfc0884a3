"""PgBouncer in transaction mode stands between the workers and PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest

from support.figures import Row
from support.fleet import Fleet
from support.pgbouncer import MISSING, pgbouncer, program
from support.postgres import Postgres

EXPECTED = {"worker_dead", "task_taken_over", "price_unknown"}
pytestmark = pytest.mark.chaos


@pytest.mark.proves("scale.pooling")
@pytest.mark.proves("pattern.queue")
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_two_workers_share_four_connections_by_a_pooler(
    fleet: Fleet, shared_postgres: Postgres, row: Row
) -> None:
    """Two workers with 40 connections to PgBouncer, and 5 from there to the server; one worker is killed: all 60 tasks
    are completed, nothing that was recorded is done again, no statement meets another's."""
    if not program():
        pytest.skip(MISSING)
    with pgbouncer(shared_postgres, fleet.url, size=5) as pooled:
        fleet.upstream.plays(latency=0.3)
        workers = await asyncio.to_thread(fleet.start_several, 2, QUEUE__DATABASE_URL=pooled)
        views = await fleet.submit_many(60)
        await fleet.ended(views[10])
        workers[0].kill()
        ended = await fleet.all_ended(views, within=120)
        served = fleet.rows("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")[0][0]
        paid_again, cut_off = fleet.repeated()
        warned = {line["event"] for worker in workers for line in worker.logs(level="warning")} - EXPECTED
        row.shows(
            ended={str(view.status) for view in ended},
            connections_of_the_server=served,
            recorded_and_repeated=paid_again,
            cut_off_and_repeated=cut_off,
            other_warnings=sorted(warned) or "none",
        )
        assert {view.status for view in ended} == {"completed"}
        assert paid_again == 0
        assert not warned
        workers[1].stop(within=40)
