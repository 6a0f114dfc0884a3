"""Work in several places is done everywhere or nowhere, also when its process dies between any two steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from processes import environment

pytestmark = pytest.mark.chaos
TRIP = Path(__file__).with_name("trip.py")


@pytest.mark.proves("pattern.saga")
@pytest.mark.parametrize("fails", ["", "hotel", "car"])
@pytest.mark.parametrize("crash", [0, 2, 3, 4, 6, 8])
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
    booked: set[str] = set()
    for line in (tmp_path / "effects.log").read_text().splitlines():
        if line.startswith("not "):
            booked.discard(line.removeprefix("not "))
        else:
            booked.add(line)
    assert booked == (set() if fails else {"flight", "hotel", "car"}), child.stdout
