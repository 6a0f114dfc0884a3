"""One trace: from the request that submits a task, through the database, to the worker's model call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import client_of, settings_for
from support.collector import Collector, attributes
from support.fleet import Fleet
from support.processes import Service
from support.waiting import eventually

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.proves("observe.traces")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_one_trace_from_submission_to_the_workers_model_call(fleet: Fleet, tmp_path: Path) -> None:
    collector = Collector()
    exported: dict[str, Any] = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
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
    assert worker.logged("task", outcome="completed")["trace_id"] == TRACE
