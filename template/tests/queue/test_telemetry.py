"""What an operator sees of a worker: the queue's metrics, and its probes."""

from __future__ import annotations

import pytest

from fleet import Fleet
from processes import call
from waiting import eventually


@pytest.mark.proves("observe.metrics")
async def test_the_queues_metrics(queue: Fleet) -> None:
    worker = queue.workers[0]
    done, dead = worker.metric("tasks_total", outcome="completed"), worker.metric("tasks_total", outcome="dead")
    for _ in range(3):
        await queue.submit(delay_seconds=600)
    await queue.ended(await queue.submit())
    queue.upstream.plays({"fault": "status", "status": 503})
    await queue.ended(await queue.submit())
    eventually(lambda: worker.metric("queue_depth") == 3, what="queue_depth counts what waits")
    assert worker.metric("tasks_total", outcome="completed") == done + 1
    assert worker.metric("tasks_total", outcome="dead") == dead + 1
    assert worker.metric("tasks_takeovers_total") == 0
    assert "queue_oldest_task_seconds" in call("GET", f"{worker.url}/metrics")[1].decode()
    assert worker.metric("queue_oldest_task_seconds") == 0, "what is delayed is not late"
    assert await queue.cancel_all() == 3


@pytest.mark.proves("reliability.health")
async def test_the_workers_probes(queue: Fleet) -> None:
    worker = queue.workers[0]
    for path in ("livez", "startupz", "readyz"):
        assert call("GET", f"{worker.url}/{path}")[0] == 200
    assert call("GET", f"{worker.url}/nothing")[0] == 404


@pytest.mark.proves("reliability.health")
def test_a_worker_that_is_told_to_stop_many_times_ends_in_peace(fleet: Fleet) -> None:
    worker = fleet.start()

    def ended() -> bool:
        worker.signal()
        return worker.exited is not None

    eventually(ended, within=20, what="the process ends")
    assert worker.exited == 0, worker.output
