"""Replicas are replaced while they work."""

from __future__ import annotations

import asyncio
import signal
import time
from itertools import count

import pytest

from conftest import KEY, StartService
from support.figures import Row
from support.load import Load, statuses
from support.processes import Service, Upstream, call
from support.waiting import becomes

pytestmark = pytest.mark.chaos

DRAIN = 1.0
LONGEST_RUN = 3.0  # longer than the drain, so that runs are in flight when the socket closes
PROBE_EVERY = 0.1


class Balancer:
    """A load balancer: checks each replica's readiness, and sends work to the ready ones in turn."""

    def __init__(self) -> None:
        self.ready: dict[Service, bool] = {}
        self.said: dict[Service, set[int]] = {}  # statuses of /readyz; 0 means no answer
        self._turn = count()

    def url(self) -> str:
        ready = [service for service, is_ready in self.ready.items() if is_ready]
        return ready[next(self._turn) % len(ready)].url

    async def probe(self) -> None:
        while True:
            for service in list(self.ready):
                status, _ = await asyncio.to_thread(call, "GET", f"{service.url}/readyz")
                self.ready[service] = status == 200
                self.said.setdefault(service, set()).add(status)
            await asyncio.sleep(PROBE_EVERY)


@pytest.mark.proves("scale.balancing")
@pytest.mark.proves("reliability.health")
async def test_sigterm_under_load(upstream: Upstream, start_service: StartService, row: Row) -> None:
    """Two replicas are replaced one after the other: no request fails, `/readyz` answers 503 before the socket closes,
    and each replica exits with 0 within drain + longest run."""
    balancer = Balancer()
    settings = {"DRAIN_SECONDS": DRAIN, "RUN__DEADLINE_SECONDS": 10}
    replicas = [start_service(**settings) for _ in range(2)]
    balancer.ready = dict.fromkeys(replicas, True)
    upstream.plays({"fault": "latency", "seconds": LONGEST_RUN, "share": 0.15}, latency=0.1, chunk_seconds=0.2)
    took, in_flight = [], []
    probing = asyncio.create_task(balancer.probe())
    async with Load(balancer.url, [KEY], stream_every=4) as load:
        async with load.going_on(callers=12, per_second=24):
            for old in replicas:
                new = await asyncio.to_thread(start_service, **settings)
                balancer.ready[new] = True
                await asyncio.sleep(1)
                told, first = time.monotonic(), len(load.answers)
                old.signal(signal.SIGTERM)
                await becomes(lambda old=old: not balancer.ready[old], what="/readyz answers 503")  # type: ignore[misc]
                assert old.exited is None, "it answered 503 before it exited"
                await becomes(lambda old=old: old.exited is not None, within=30, what="it exits")  # type: ignore[misc]
                took.append(time.monotonic() - told)
                in_flight.append(len(load.answers) - first)
                del balancer.ready[old]
            await asyncio.sleep(0.5)
        probing.cancel()
    streams = [answer.body for answer in load.answers if b"event: " in answer.body]
    row.shows(
        statuses=statuses(load.answers),
        streams=len(streams),
        exit_codes=[replica.exited for replica in replicas],
        exited_after=[f"{seconds:.1f} s" for seconds in took],
        answered_meanwhile=in_flight,
    )
    assert statuses(load.answers) == {200: len(load.answers)}
    assert len(streams) > 10
    assert all(b"event: done" in body and b"event: error" not in body for body in streams)
    assert [replica.exited for replica in replicas] == [0, 0]
    assert all(503 in balancer.said[replica] for replica in replicas)
    assert max(took) <= DRAIN + LONGEST_RUN + 2
