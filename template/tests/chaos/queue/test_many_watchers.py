"""Many clients that watch tasks."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from conftest import OTHER_KEY, StartService, client_of
from support.figures import Row
from support.fleet import Fleet
from support.processes import Service

pytestmark = [pytest.mark.chaos, pytest.mark.parametrize("shared_fleet", ["sqlite"], indirect=True)]

WATCHERS, TASKS = 500, 100
SECONDS = 8.0


def processor_seconds(service: Service) -> float:
    fields = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100  # user and system, in ticks


@pytest.mark.proves("pattern.bulkhead", "security.bounds")
async def test_many_watchers(queue: Fleet, start_service: StartService, row: Row) -> None:
    """500 streams of one tenant's task events cost less than a fifth of a core, and another tenant is served."""
    gateway = start_service(QUEUE__DATABASE_URL=queue.url)
    async with client_of(gateway) as client, client_of(gateway, OTHER_KEY) as other:
        tasks = [
            (await client.post("/v1/tasks", json={"input": "hello", "delay_seconds": 600})).headers["location"]
            for _ in range(TASKS)
        ]
        key = client.headers["authorization"]
        writers = []
        for number in range(WATCHERS):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            path = f"{tasks[number % TASKS]}/events"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\r\n".encode())
            assert b" 200 " in await reader.readline(), number
            writers.append(writer)
        used, started = processor_seconds(gateway), time.monotonic()
        await asyncio.sleep(SECONDS)
        share = (processor_seconds(gateway) - used) / (time.monotonic() - started)
        answers = [(await other.post("/v1/runs", json={"input": "hello"})).status_code for _ in range(5)]
        row.shows(watchers=WATCHERS, of_tasks=TASKS, share_of_a_core=f"{share:.1%}", other_tenant=answers)
        for writer in writers:
            writer.close()
        for task in tasks:
            assert (await client.delete(task)).status_code == 200
    assert answers == [200] * 5
    assert share < 0.2
