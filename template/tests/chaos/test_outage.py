"""Models that are down: the primary, and then all of them."""

from __future__ import annotations

import asyncio
import time

import pytest

from conftest import KEY, StartService
from support.figures import Row
from support.load import Load, milliseconds, share, statuses
from support.processes import Upstream
from support.scenario import MINIMUM_CALLS, fallback_of
from support.waiting import becomes

pytestmark = pytest.mark.chaos

CALLERS = 16
DOWN = {"fault": "reset", "model": "primary"}
DOWN_SECONDS = 20.0
OPEN_SECONDS = 4.0


@pytest.mark.proves("reliability.breakers")
@pytest.mark.proves("reliability.fallback")
@pytest.mark.proves("scale.balancing")
async def test_primary_down_for_twenty_seconds(upstream: Upstream, start_service: StartService, row: Row) -> None:
    """The breaker opens within its minimum calls, even after many successes; then only probes reach the primary, and
    the fallback answers with `degraded: true`; the primary is back within one open period and one probe."""
    service = start_service(
        GUARD__BREAKER_MINIMUM_CALLS=MINIMUM_CALLS, GUARD__BREAKER_OPEN_SECONDS=OPEN_SECONDS, **fallback_of(upstream)
    )
    async with Load(service.url, [KEY]) as load, load.going_on(callers=CALLERS, per_second=32):
        await becomes(lambda: len(load.answers) > 100, within=30)
        healthy = len(load.answers)
        upstream.plays(DOWN)
        down_at = time.time()
        await becomes(lambda: service.logs("breaker_changed", new="open"), what="the breaker opens")
        await asyncio.sleep(DOWN_SECONDS - (time.time() - down_at))
        upstream.plays()
        up_at = time.time()
        await becomes(lambda: not load.answers[-1].degraded, what="the primary answers again")
        back_after = time.time() - up_at
        await asyncio.sleep(1)
    failed = [at for at, model, outcome in upstream.stats()["times"] if model == "primary" and outcome == "reset"]
    opening = [at for at in failed if at - down_at < OPEN_SECONDS / 2]
    during = [answer for answer in load.answers[healthy:] if down_at + 1 < answer.began < up_at]
    row.shows(
        healthy_runs_before=healthy,
        calls_until_open=len(opening),
        probes=len(failed) - len(opening),
        statuses=statuses(load.answers),
        degraded=f"{sum(answer.degraded for answer in during)} of {len(during)}",
        back_after=f"{back_after:.1f} s",
    )
    assert len(opening) <= MINIMUM_CALLS + CALLERS, "its minimum calls, and the calls in flight"
    assert len(failed) - len(opening) <= DOWN_SECONDS / OPEN_SECONDS, "one probe per open period"
    assert share(load.answers) == 1.0
    assert all(answer.degraded for answer in during)
    assert back_after <= OPEN_SECONDS + 1.0
    assert not load.answers[-1].degraded


@pytest.mark.proves("reliability.fallback")
async def test_both_models_down_for_a_minute(upstream: Upstream, start_service: StartService, row: Row) -> None:
    """503 with Retry-After, in under 20 ms at the median, though each model takes 200 ms to fail; memory is flat over
    60 s."""
    service = start_service(GUARD__BREAKER_OPEN_SECONDS=5, **fallback_of(upstream))
    upstream.plays({"fault": "status", "status": 500}, latency=0.2)
    async with Load(service.url, [KEY]) as load, load.going_on(callers=2, per_second=20):
        await load.callers(4, runs=1_000)  # breakers open, caches and pools fill
        await asyncio.sleep(5)
        before, first = service.memory(), len(load.answers)
        await asyncio.sleep(60)
        grown, answers = (service.memory() - before) / 2**20, load.answers[first:]
    row.shows(
        statuses=statuses(answers),
        median=f"{milliseconds(answers):.1f} ms",
        p99=f"{milliseconds(answers, 0.99):.0f} ms",
        attempts_a_run=upstream.attempts(None) / len(load.answers),
        memory=f"{before / 2**20:.0f} MB {grown:+.1f} MB",
    )
    assert statuses(answers) == {503: len(answers)}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    assert milliseconds(answers) < 20
    assert upstream.attempts(None) < len(load.answers) / 5, "only probes reach the models"
    assert grown < 2
