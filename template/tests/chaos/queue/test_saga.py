"""Work in several places is done everywhere or nowhere, also when its process dies between any two steps."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from support.figures import Row
from support.fleet import Fleet
from support.processes import environment
from support.scenes import ALTERED
from support.waiting import becomes

pytestmark = pytest.mark.chaos
TRIP = Path(__file__).with_name("trip.py")
# Before and after each effect and each undoing: all bookings, or those before the one that fails and their undoing.
POINTS = {"": 6, "hotel": 7, "car": 11}


@pytest.mark.proves("pattern.saga")
@pytest.mark.parametrize(("fails", "crash"), [(fails, at) for fails, last in POINTS.items() for at in range(last + 1)])
def test_a_trip_is_booked_or_it_is_not(fails: str, crash: int, tmp_path: Path) -> None:
    for _ in range(2):  # the second time its history is there, if the first one died
        child = subprocess.run(
            [sys.executable, str(TRIP)],
            cwd=tmp_path,
            env=environment(CRASH=str(crash), FAIL=fails),
            capture_output=True,
            text=True,
            timeout=60,
        )
        if child.returncode == 0:
            break
    assert child.returncode == 0, child.stderr
    assert (tmp_path / "crashed").exists() == bool(crash)
    booked: set[str] = set()
    happened = (tmp_path / "effects.log").read_text().splitlines()
    for line in happened:
        if line.startswith("not "):
            booked.discard(line.removeprefix("not "))
        else:
            booked.add(line)
    assert booked == (set() if fails else {"flight", "hotel", "car"}), child.stdout
    assert len(happened) <= len(set(happened)) + 1, "at most the one that was cut off before its record is repeated"


@pytest.mark.proves("pattern.saga")
async def test_a_trip_that_is_cancelled_is_undone(fleet: Fleet, row: Row) -> None:
    """Its owner cancels the task between two bookings: the worker takes back what was booked, in the reverse order."""
    await asyncio.to_thread(fleet.start, program=ALTERED)
    effects = fleet.folder / "effects.log"
    task = await fleet.submit("call travel {}")
    await becomes(lambda: effects.exists(), what="the flight is booked")
    await fleet.tasks.cancel(task.id, tenant="acme", actor="tests")
    await becomes(lambda: "not flight" in effects.read_text(), what="the flight is taken back")
    left = effects.read_text().splitlines()
    row.shows(effects=left)
    booked = [line for line in left if not line.startswith("not ")]
    undone = [line.removeprefix("not ") for line in left if line.startswith("not ")]
    assert booked in (["flight"], ["flight", "hotel"]), "the cancellation meets the next booking or comes before it"
    assert [part for part in undone if part in booked] == booked[::-1]
    assert (await fleet.now(task)).status == "cancelled"
