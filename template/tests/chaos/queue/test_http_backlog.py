"""Queues that are long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import KEY, settings_for
from support.figures import Row
from support.fleet import Fleet
from support.load import Answer, Connection, milliseconds, statuses
from support.processes import Service

pytestmark = pytest.mark.chaos

QUEUED, MANY = 10_000, 100_000
CLIENTS = 4  # that fill the queue as fast as they are answered
P99_MS = 50.0
MEGABYTE = 2**20


@pytest.fixture
def gateway(fleet: Fleet, tmp_path: Path) -> Iterator[Service]:
    settings = {**settings_for(fleet.upstream), **fleet.settings, "QUEUE__MAX_DEPTH": 2 * MANY}
    gateway = Service(tmp_path, **settings).wait_ready()
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
async def test_ten_thousand_tasks_wait_and_then_a_hundred_thousand(fleet: Fleet, gateway: Service, row: Row) -> None:
    """With 10,000 waiting a submission takes less than 50 ms (99th percentile) beside a worker at work; with them, and
    with 100,000, the memory of gateway and worker has not grown."""
    fleet.upstream.plays(latency=1.0)
    worker = await asyncio.to_thread(fleet.start, QUEUE__CONCURRENCY=4)
    await submissions(gateway, 1_000)
    before = [process.memory() for process in (gateway, worker)]

    def grown() -> list[float]:
        now = [process.memory() for process in (gateway, worker)]
        return [(size - was) / MEGABYTE for size, was in zip(now, before, strict=True)]

    filling = await submissions(gateway, QUEUED - 1_000)
    answers = await submissions(gateway, 1_000, clients=1)
    waiting, at_ten_thousand = (await fleet.tasks.sample(0)).tasks, grown()
    await asyncio.to_thread(fleet.multiply, await fleet.submit("behind all others", priority=9), MANY - QUEUED)
    beyond = await submissions(gateway, 500, clients=1)
    row.shows(
        waiting=[waiting, (await fleet.tasks.sample(0)).tasks],
        p50_ms=[f"{milliseconds(some):.1f}" for some in (answers, beyond)],
        p99_ms=[f"{milliseconds(some, 0.99):.1f}" for some in (answers, beyond)],
        p99_ms_of_four_at_full_speed=milliseconds(filling, 0.99),
        gateway_and_worker_grew=[[f"{size:.1f} MB" for size in sizes] for sizes in (at_ten_thousand, grown())],
    )
    assert statuses([*filling, *answers, *beyond]) == {202: QUEUED + 500}
    assert milliseconds(answers, 0.99) < P99_MS
    assert max(*at_ten_thousand, *grown()) < 25, "that would be a quarter of a KiB for each that waits"
