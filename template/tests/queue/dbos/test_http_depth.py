"""A gateway's figures of the queue, which an autoscaler starts the first worker by."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import StartService, client_of
from support.waiting import becomes


@pytest.mark.proves("observe.metrics")
async def test_the_depth_is_true_without_a_worker_a_probe_or_a_new_task(
    start_service: StartService, tmp_path: Path
) -> None:
    gateway = start_service(QUEUE__DATABASE_URL=f"sqlite:///{tmp_path}/depth.sqlite3")
    async with client_of(gateway) as client:
        tasks = [(await client.post("/v1/tasks", json={"input": "hello"})).json()["id"] for _ in range(3)]
        await becomes(lambda: gateway.metric("queue_depth") == 3, what="the tasks of the last second count")
        for task in tasks:
            await client.delete(f"/v1/tasks/{task}")
    await becomes(lambda: gateway.metric("queue_depth") == 0, what="tasks that have ended do not count")
