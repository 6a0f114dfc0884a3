"""Tenants that share workers."""

from __future__ import annotations

import asyncio

import pytest

from support.figures import Row
from support.fleet import Fleet

pytestmark = pytest.mark.chaos

BIG, SMALL = 5_000, 10


@pytest.mark.proves("pattern.bulkhead")
async def test_a_flood_of_one_tenant(fleet: Fleet, row: Row) -> None:
    """5,000 tasks of one tenant wait when another's 10 come: the last of these is done before the big one's 500th."""
    for _ in range(BIG // 50):
        await asyncio.gather(*(fleet.submit("big", tenant="big") for _ in range(50)))
    small = [await fleet.submit("small", tenant="small") for _ in range(SMALL)]
    await asyncio.to_thread(fleet.start)
    await fleet.all_ended(small, within=60)
    ((done,),) = fleet.rows(
        "SELECT count(*) FROM workflow_status WHERE status = 'SUCCESS' AND authenticated_user = 'big'"
    )
    row.shows(done_of_the_big_one=done)
    assert done < 500
    for worker in fleet.workers:
        worker.kill()  # the rest is of no interest
