"""Workers of one version, tasks of another."""

from __future__ import annotations

import asyncio
import signal

import pytest

from figures import Row
from fleet import Fleet
from scenes import ALTERED

pytestmark = pytest.mark.chaos


@pytest.mark.proves("ship.rollback")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_tasks_of_version_a_are_done_by_workers_of_version_b(fleet: Fleet, row: Row) -> None:
    """Queued and begun under A: B, whose steps are in another order (WORKFLOW_VERSION), does what was only queued; A,
    which drains, does what it has begun. All are done, and B's own too."""
    fleet.upstream.plays(latency=1.0)
    old = await asyncio.to_thread(fleet.start, QUEUE__CONCURRENCY=4)
    views = await fleet.submit_many(20)
    await fleet.begun(views[3])
    new = await asyncio.to_thread(fleet.start, program=ALTERED, ALTERED_WORKFLOW_VERSION="2")
    old.signal(signal.SIGTERM)
    views.append(await fleet.submit("of version B"))
    ended = await fleet.all_ended(views, within=60)
    shares = [len(worker.logs("task", outcome="completed")) for worker in (old, new)]
    row.shows(done_by_a=shares[0], done_by_b=shares[1])
    assert {view.status for view in ended} == {"completed"}
    assert min(shares) > 0
    assert sum(shares) == len(views)
