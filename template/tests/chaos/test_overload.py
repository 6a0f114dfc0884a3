"""More requests than the service can serve."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time

import pytest

from conftest import KEY, StartService
from support.figures import Row
from support.load import Load, milliseconds, statuses
from support.processes import Upstream, call

pytestmark = pytest.mark.chaos

PLACES = 6  # LIMITS__MAX_IN_FLIGHT
MODEL_SECONDS = 0.6
CONNECTIONS = 800  # of a load balancer; the service keeps a thousand
ROUNDS, SECONDS = 3, 5  # normal load and overload in turns, so that other load on the machine affects both


@pytest.mark.proves("scale.backpressure")
async def test_ten_times_overload(upstream: Upstream, start_service: StartService, row: Row) -> None:
    """Goodput stays within 10% of capacity, accepted work takes at most twice as long, refusals come at once, memory is
    flat."""
    service = start_service(LIMITS__MAX_IN_FLIGHT=PLACES)
    upstream.plays(latency=MODEL_SECONDS)
    async with Load(service.url, [KEY]) as load:
        capacity = len(await load.callers(PLACES, seconds=SECONDS)) / SECONDS
        await load.arrivals(10 * capacity, seconds=1)
        before = service.memory()
        rounds = [
            (await load.callers(PLACES, seconds=SECONDS), await load.arrivals(10 * capacity, seconds=SECONDS))
            for _ in range(ROUNDS)
        ]
        grown = (service.memory() - before) / 2**20
        recovered = await load.callers(PLACES, seconds=1)
    alone = [answer for calm, _ in rounds for answer in calm]
    crowded = [answer for _, storm in rounds for answer in storm]
    accepted = [answer for answer in crowded if answer.status == 200]
    refused = [answer for answer in crowded if answer.status == 503]
    goodput = statistics.median(statuses(storm)[200] / len(calm) for calm, storm in rounds)
    row.shows(
        capacity=f"{len(alone) / ROUNDS / SECONDS:.1f}/s",
        offered=f"{len(crowded) / ROUNDS / SECONDS:.0f}/s",
        goodput=f"{goodput:.0%} of capacity",
        median=f"{milliseconds(alone):.0f} → {milliseconds(accepted):.0f} ms",
        refusal=f"{milliseconds(refused):.1f} ms",
        memory=f"{before / 2**20:.0f} MB {grown:+.1f} MB",
    )
    assert statuses(alone) == {200: len(alone)}
    assert set(statuses(crowded)) == {200, 503}
    assert goodput >= 0.9
    assert milliseconds(accepted) <= 2 * milliseconds(alone)
    assert milliseconds(accepted, 0.95) <= 2 * milliseconds(alone, 0.95)
    assert milliseconds(refused) < 100
    assert all("retry-after" in answer.headers for answer in refused)
    assert grown < 5
    assert statuses(recovered) == {200: len(recovered)}


@pytest.mark.proves("reliability.health")
async def test_probes_at_ten_times_capacity(start_service: StartService, row: Row) -> None:
    """The offline model answers at once, so that the process is the bottleneck: `/livez` answers within a second, and
    nobody restarts a replica for its load."""
    service = start_service(MODEL__PRIMARY="offline")
    waits, answered = list[float](), list[int]()
    over = threading.Event()

    def probe() -> None:
        while not over.wait(0.1):
            began = time.perf_counter()
            answered.append(call("GET", f"{service.url}/livez")[0])
            waits.append(time.perf_counter() - began)

    async with Load(service.url, [KEY]) as load:
        capacity = len(await load.callers(PLACES, seconds=SECONDS)) / SECONDS
        probing = asyncio.create_task(asyncio.to_thread(probe))
        offered = await load.arrivals(10 * capacity, seconds=SECONDS, most=CONNECTIONS)
        over.set()
        await probing
    row.shows(
        capacity=f"{capacity:.0f}/s",
        offered=f"{len(offered) / SECONDS:.0f}/s",
        livez_median=f"{1000 * statistics.median(waits):.0f} ms",
        livez_longest=f"{1000 * max(waits):.0f} ms",
    )
    assert set(answered) == {200}
    assert max(waits) < 1
