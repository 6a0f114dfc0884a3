"""The same request, many times at once."""

from __future__ import annotations

import asyncio

import pytest

from conftest import KEY, StartService
from support.figures import Row
from support.load import Load, statuses
from support.processes import Redis, Upstream
from support.scenario import in_turn

pytestmark = pytest.mark.chaos

TWINS = 50


@pytest.mark.proves("reliability.idempotency")
@pytest.mark.proves("scale.stateless")
async def test_fifty_identical_posts_with_one_key(
    upstream: Upstream, start_service: StartService, redis: Redis, row: Row
) -> None:
    """Fifty concurrent twins on two replicas: one upstream call, fifty equal answers; the same answers after both
    replicas were replaced."""
    replicas = [start_service(STATE_URL=redis.url) for _ in range(2)]
    upstream.plays(latency=1.0)
    async with Load(in_turn(replicas), [KEY]) as load:
        twins = await asyncio.gather(*(load.ask("the same", idempotency_key="one-key") for _ in range(TWINS)))
        for replica in replicas:
            await asyncio.to_thread(replica.stop)
        load.url = (await asyncio.to_thread(start_service, STATE_URL=redis.url)).url
        late = await load.ask("the same", idempotency_key="one-key")
        other = await load.ask("another body", idempotency_key="one-key")
    bodies = {answer.body for answer in [*twins, late]}
    replayed = sum("idempotency-replayed" in answer.headers for answer in twins)
    row.shows(
        statuses=statuses(twins),
        different_bodies=len(bodies),
        replayed=replayed,
        slowest=f"{max(answer.seconds for answer in twins):.2f} s",
        with_another_body=other.status,
    )
    assert upstream.attempts() == 1
    assert statuses(twins) == {200: TWINS}
    assert len(bodies) == 1
    assert replayed == TWINS - 1
    assert (late.status, other.status) == (200, 409)
