"""A worker whose clock is wrong: deadlines and retention go by the database's."""

from __future__ import annotations

import asyncio

import pytest

from support.figures import Row
from support.fleet import Fleet
from support.scenes import ALTERED

pytestmark = pytest.mark.chaos

DAY = 86_400


@pytest.mark.proves("pattern.queue")
@pytest.mark.parametrize("ahead", [31 * DAY, 65 * 60, -31 * DAY])
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_worker_whose_clock_is_wrong(fleet: Fleet, ahead: int, row: Row) -> None:
    """31 days or 65 minutes ahead, or behind: ended tasks stay, new ones are completed, and the log says so."""
    right = await asyncio.to_thread(fleet.start)
    old = await fleet.ended(await fleet.submit("hello"))
    await asyncio.to_thread(right.stop)
    wrong = await asyncio.to_thread(fleet.start, program=ALTERED, ALTERED_CLOCK_SECONDS=ahead)
    new = await fleet.ended(await fleet.submit("hello again"))
    await asyncio.sleep(8)
    row.shows(new=str(new.status), log=[line["seconds"] for line in wrong.logs("clock_differs")])
    assert new.status == "completed"
    assert await fleet.now(old) == old
    assert wrong.logs("clock_differs")
