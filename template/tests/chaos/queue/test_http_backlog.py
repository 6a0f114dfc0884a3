"""Queues that are long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import KEY, settings_for
from figures import Row
from fleet import Fleet
from load import Answer, Connection, milliseconds, statuses
from processes import Service

pytestmark = pytest.mark.chaos

QUEUED = 10_000
CLIENTS = 4  # that fill the queue as fast as they are answered
P99_MS = 50.0
MEGABYTE = 2**20


@pytest.fixture
def gateway(fleet: Fleet, tmp_path: Path) -> Iterator[Service]:
    gateway = Service(tmp_path, **{**settings_for(fleet.upstream), **fleet.settings}).wait_ready()
    yield gateway
    assert gateway.stop() == 0, gateway.output


async def submissions(gateway: Service, number: int, clients: int = CLIENTS) -> list[Answer]:
    left, answers = iter(range(number)), []

    async def client() -> None:
        connection = Connection(gateway.url)
        while next(left, None) is not None:
            answers.append(await connection.ask(json.dumps({"input": "x"}).encode(), KEY, "/v1/tasks"))
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers


@pytest.mark.proves("scale.backpressure")
async def test_ten_thousand_tasks_wait(fleet: Fleet, gateway: Service, row: Row) -> None:
    """With 10,000 waiting a submission takes less than 50 ms (99th percentile) beside a worker at work, and the memory
    of gateway and worker has not grown with the queue."""
    fleet.upstream.plays(latency=1.0)
    worker = await asyncio.to_thread(fleet.start, QUEUE__CONCURRENCY=4)
    await submissions(gateway, 1_000)
    before = [process.memory() for process in (gateway, worker)]
    filling = await submissions(gateway, QUEUED - 1_000)
    answers = await submissions(gateway, 1_000, clients=1)
    grown = [(process.memory() - was) / MEGABYTE for process, was in zip((gateway, worker), before, strict=True)]
    row.shows(
        waiting=(await fleet.tasks.sample()).tasks,
        p50_ms=milliseconds(answers),
        p99_ms=milliseconds(answers, 0.99),
        p99_ms_of_four_at_full_speed=milliseconds(filling, 0.99),
        gateway_grew=f"{grown[0]:.1f} MB",
        worker_grew=f"{grown[1]:.1f} MB",
    )
    assert statuses([*filling, *answers]) == {202: QUEUED}
    assert milliseconds(answers, 0.99) < P99_MS
    assert max(grown) < 15, "10,000 more tasks wait"
