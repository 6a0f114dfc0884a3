"""A model API that fails most of the time: retries must not overload it."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from conftest import KEY, StartService
from support.figures import Row
from support.load import Answer, Load, share, statuses
from support.processes import Service, Upstream
from support.scenario import MINIMUM_CALLS, NEVER_OPENS, fallback_of

pytestmark = pytest.mark.chaos

STORM_SECONDS = 30
FLOOR = 1.0  # retries a second that are always allowed
MOSTLY_BROKEN = {"fault": "status", "status": 503, "share": 0.6}


@pytest.mark.proves("reliability.retries")
async def test_retry_storm_without_breaker(upstream: Upstream, start_service: StartService, row: Row) -> None:
    """60% 5xx for 30 s: at most 1.25 attempts per run plus the floor, for any `GUARD__ATTEMPTS`; 99% of runs succeed,
    by the fallback if the primary failed."""
    services = {
        attempts: start_service(
            MODEL__PRIMARY=f"openai-chat:primary-{attempts}",
            GUARD__ATTEMPTS=attempts,
            **NEVER_OPENS,
            **fallback_of(upstream),
        )
        for attempts in (3, 10)
    }
    upstream.plays(*({**MOSTLY_BROKEN, "model": f"primary-{attempts}"} for attempts in services))

    async def storm(service: Service) -> list[Answer]:
        async with Load(service.url, [KEY]) as load:
            return await load.arrivals(15, seconds=STORM_SECONDS)

    stormed = await asyncio.gather(*map(storm, services.values()))
    seen = Counter((model, outcome == "ok") for _, model, outcome in upstream.stats()["times"])
    for attempts, answers in zip(services, stormed, strict=True):
        good, bad = (seen[f"primary-{attempts}", ok] for ok in (True, False))
        degraded = sum(answer.degraded for answer in answers)
        row.shows(
            **{f"with_{attempts}_attempts:": statuses(answers)},
            degraded=degraded,
            primary_attempts_a_run=(good + bad) / len(answers),
        )
        assert good + bad <= 1.25 * len(answers) + FLOOR * STORM_SECONDS
        assert share(answers) >= 0.99
        assert degraded + good == statuses(answers)[200], "exactly the fallback's answers are marked as degraded"


@pytest.mark.proves("reliability.breakers")
@pytest.mark.proves("reliability.fallback")
async def test_retry_storm_with_breaker(upstream: Upstream, start_service: StartService, row: Row) -> None:
    """60% 5xx: the breaker opens within its minimum calls, and the fallback answers all runs."""
    service = start_service(
        GUARD__BREAKER_MINIMUM_CALLS=MINIMUM_CALLS, GUARD__BREAKER_OPEN_SECONDS=60, **fallback_of(upstream)
    )
    # One caller, and a seed that makes half of the first ten calls fail, so that the moment of opening is known.
    upstream.plays({**MOSTLY_BROKEN, "model": "primary"}, seed=0)
    async with Load(service.url, [KEY]) as load:
        await load.callers(1, runs=MINIMUM_CALLS)
        opened_after = upstream.attempts("primary")
        change = service.logged("breaker_changed", dependency="model_primary", new="open")
        answers = await load.callers(8, seconds=4)
    row.shows(
        opened_after=f"{opened_after} calls",
        then_reached_the_primary=upstream.attempts("primary") - opened_after,
        statuses=statuses(load.answers),
        degraded=f"{sum(answer.degraded for answer in answers)} of {len(answers)}",
    )
    assert change["old"] == "closed"
    assert opened_after <= MINIMUM_CALLS
    assert upstream.attempts("primary") == opened_after
    assert share(load.answers) >= 0.99
    assert all(answer.degraded for answer in answers if answer.status == 200)
