"""What an operator sees of a task: one trace through gateway, queue and worker, and the queue's metrics."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector import Collector, attributes
from conftest import client_of, settings_for
from fleet import Fleet
from processes import Service, call
from waiting import eventually

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.proves("observe.traces")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_one_trace_from_submission_to_the_workers_model_call(fleet: Fleet, tmp_path: Path) -> None:
    collector = Collector()
    exported = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    gateway = Service(tmp_path, **settings_for(fleet.upstream, QUEUE__DATABASE_URL=fleet.url, **exported))
    fleet.workers.append(gateway)
    worker = fleet.start(**exported)
    gateway.wait_ready()
    async with client_of(gateway) as client:
        parent = f"00-{TRACE}-b7ad6b7169203331-01"
        response = await client.post("/v1/tasks", json={"input": "hello"}, headers={"traceparent": parent})
    await fleet.ended(await fleet.tasks.get(response.json()["id"], tenant="acme"))

    def whole() -> bool:
        services = {attributes(span).get("task.id") for span in collector.trace(TRACE)}
        return response.json()["id"] in services and any("chat" in span.name for span in collector.trace(TRACE))

    try:
        eventually(whole, what="the worker's spans are in the submission's trace")
    finally:
        collector.stop()
    spans = {span.span_id: span for span in collector.trace(TRACE)}
    step = next(span for span in spans.values() if span.name.startswith("chat"))
    above = []
    while step := spans.get(step.parent_span_id):  # type: ignore[assignment]
        above.append(step.name)
    assert "task" in above, above
    assert any("/v1/tasks" in name for name in above), above
    request = fleet.upstream.stats()["requests"][-1]
    assert request["headers"]["traceparent"].split("-")[1] == TRACE
    assert worker.logged("task", outcome="completed")["trace_id"] == TRACE


@pytest.mark.proves("observe.metrics")
async def test_the_queues_metrics(queue: Fleet) -> None:
    worker = queue.workers[0]
    done, dead = worker.metric("tasks_total", outcome="completed"), worker.metric("tasks_total", outcome="dead")
    waiting = [await queue.submit(delay_seconds=600) for _ in range(3)]
    await queue.ended(await queue.submit())
    queue.upstream.plays({"fault": "status", "status": 503})
    await queue.ended(await queue.submit())
    eventually(lambda: worker.metric("queue_depth") == 3, what="queue_depth counts what waits")
    assert worker.metric("tasks_total", outcome="completed") == done + 1
    assert worker.metric("tasks_total", outcome="dead") == dead + 1
    assert worker.metric("tasks_takeovers_total") == 0
    assert "queue_oldest_task_seconds" in call("GET", f"{worker.url}/metrics")[1].decode()
    assert worker.metric("queue_oldest_task_seconds") == 0, "what is delayed is not late"
    for view in waiting:
        await queue.tasks.cancel(view.id, tenant=queue.tenant, actor="tests")


@pytest.mark.proves("reliability.health")
async def test_the_workers_probes(queue: Fleet) -> None:
    worker = queue.workers[0]
    for path in ("livez", "startupz", "readyz"):
        assert call("GET", f"{worker.url}/{path}")[0] == 200
    assert call("GET", f"{worker.url}/nothing")[0] == 404
