"""A model API that accepts requests and never answers."""

from __future__ import annotations

import asyncio
import statistics

import pytest

from conftest import KEY, StartService
from support.figures import Row
from support.load import Load, statuses
from support.processes import Upstream
from support.scenario import NEVER_OPENS
from support.waiting import becomes

pytestmark = pytest.mark.chaos

DEADLINE = 2.0
PLACES = 8  # GUARD__MAX_CONCURRENT, and so the connections of the pool


@pytest.mark.proves("reliability.timeouts")
@pytest.mark.proves("pattern.bulkhead")
@pytest.mark.proves("scale.pooling")
@pytest.mark.parametrize("fault", ["hang", "drip"])
async def test_model_hangs_for_ever(fault: str, upstream: Upstream, start_service: StartService, row: Row) -> None:
    """504 at the deadline, for as many runs as there are places; afterwards bulkhead and pool are free again."""
    service = start_service(
        RUN__DEADLINE_SECONDS=DEADLINE,
        GUARD__TIMEOUT_SECONDS=30,
        GUARD__MAX_CONCURRENT=PLACES,
        **NEVER_OPENS,
    )
    upstream.plays({"fault": fault, "seconds": 1})
    async with Load(service.url, [KEY]) as load:
        for _ in range(2):
            await asyncio.gather(*(load.ask() for _ in range(PLACES)))
        hung = list(load.answers)
        attempts = upstream.attempts()
        await becomes(lambda: upstream.stats()["open"] == 0, what="the upstream has no open request left")
        upstream.forget()
        upstream.plays(latency=0.5)
        answers = await asyncio.gather(*(load.ask() for _ in range(PLACES)))
        at_once = upstream.stats()["most_open"]
    late = [answer.seconds - DEADLINE for answer in hung]
    row.attempts = attempts
    row.shows(
        while_it_hangs=statuses(hung),
        after_the_deadline=f"{1000 * statistics.median(late):.0f} ms, at most {1000 * max(late):.0f} ms",
        afterwards=statuses(answers),
        at_the_same_time=at_once,
    )
    assert statuses(hung) == {504: 2 * PLACES}
    assert attempts == 2 * PLACES
    assert min(late) >= -0.05
    assert max(late) <= 0.25
    assert statuses(answers) == {200: PLACES}
    assert at_once == PLACES
