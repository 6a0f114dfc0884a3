"""A worker whose clock is wrong: deadlines, delays, schedules and retention go by the database's."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from support.figures import Row
from support.fleet import Fleet
from support.scenes import ALTERED
from support.waiting import becomes

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


@pytest.mark.proves("pattern.queue")
@pytest.mark.parametrize("ahead", [65 * 60, -65 * 60])
async def test_a_worker_whose_clock_is_wrong_begins_nothing_too_early_or_too_late(fleet: Fleet, ahead: int) -> None:
    schedule = {"tick": {"cron": "*/2 * * * * *", "input": "tick"}}
    wrong = await asyncio.to_thread(
        fleet.start, program=ALTERED, ALTERED_CLOCK_SECONDS=ahead, QUEUE__SCHEDULES=schedule
    )
    later = await fleet.submit("later", delay_seconds=600)
    soon = await fleet.submit("soon", delay_seconds=1)
    assert (await fleet.ended(soon, 15)).status == "completed"
    await becomes(lambda: fleet.texts().count("tick") >= 2, within=20, what="two times of the schedule")
    assert (await fleet.now(later)).status == "queued"
    page = await fleet.tasks.page(tenant="local", status=None, cursor=None, limit=100)
    moments = [datetime.strptime(view.id, "tick-%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) for view in page.tasks]
    assert all(abs(datetime.now(UTC) - moment) < timedelta(minutes=2) for moment in moments), moments
    assert wrong.metric("queue_clock_skew_seconds") == pytest.approx(ahead, abs=5)


@pytest.mark.proves("pattern.queue")
@pytest.mark.parametrize("ahead", [65 * 60, -65 * 60])
async def test_a_delay_does_not_go_by_the_clock_that_it_was_submitted_by(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    await asyncio.to_thread(fleet.start)
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + ahead)
    later = await fleet.submit("later", delay_seconds=600)
    assert (await fleet.ended(await fleet.submit("soon", delay_seconds=1), 15)).status == "completed"
    assert (await fleet.now(later)).status == "queued"
