"""What an operator sees of a worker: the queue's metrics and traces, and how it stops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import context, propagate

from support.collector import Collector, attributes
from support.fleet import TWO_CALLS, Fleet
from support.processes import call
from support.waiting import eventually


@pytest.mark.proves("observe.metrics")
async def test_the_queues_metrics(queue: Fleet) -> None:
    worker = queue.workers[0]
    done, dead = worker.metric("tasks_total", outcome="completed"), worker.metric("tasks_total", outcome="dead")
    for _ in range(3):
        await queue.submit(delay_seconds=600)
    await queue.ended(await queue.submit())
    queue.upstream.plays({"fault": "status", "status": 503})
    await queue.ended(await queue.submit())
    eventually(lambda: worker.metric("queue_delayed") == 3, what="queue_delayed counts what is due later")
    assert worker.metric("queue_depth") == 0, "an autoscaler needs no worker for it"
    eventually(lambda: worker.metric("tasks_total", outcome="completed") == done + 1, what="the answer is counted")
    eventually(lambda: worker.metric("tasks_total", outcome="dead") == dead + 1, what="the dead letter is counted")
    assert worker.metric("tasks_takeovers_total") == 0
    assert "queue_oldest_task_seconds" in call("GET", f"{worker.url}/metrics")[1].decode()
    assert worker.metric("queue_oldest_task_seconds") == 0, "what is delayed is not late"
    assert await queue.cancel_all() == 3


@pytest.mark.proves("reliability.health")
def test_a_worker_that_is_told_to_stop_many_times_ends_in_peace(fleet: Fleet) -> None:
    worker = fleet.start()

    def ended() -> bool:
        worker.signal()
        return worker.exited is not None

    eventually(ended, within=20, what="the process ends")
    assert worker.exited == 0, worker.output


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


@pytest.mark.proves("observe.traces")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_trace_of_a_submission_goes_on_in_the_worker(fleet: Fleet, collector: Collector) -> None:
    exported: dict[str, Any] = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    worker = fleet.start(**exported)
    trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    attached = context.attach(propagate.extract({"traceparent": f"00-{trace}-{caller}-01"}))
    task = await fleet.submit(TWO_CALLS.format(1))
    context.detach(attached)
    await fleet.ended(task)
    eventually(lambda: any(span.name == "task" for span in collector.trace(trace)), what="the task's span arrives")
    spans = collector.trace(trace)
    door = next(span for span in spans if span.name == "task")
    agent = next(span for span in spans if span.name.startswith("invoke_agent"))
    assert (door.parent_span_id.hex(), attributes(door)["task.id"]) == (caller, task.id)
    assert agent.parent_span_id == door.span_id
    assert sorted(span.name for span in spans if span.name.startswith("chat")) == ["chat primary", "chat primary"]
    assert "execute_tool convert_units" in {span.name for span in spans}
    assert worker.logged("task", outcome="completed")["trace_id"] == trace


@pytest.mark.proves("cost.spend")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_tasks_cost_is_counted_by_model_and_tenant(fleet: Fleet) -> None:
    worker = fleet.start(MODEL__PRIMARY="openai-chat:gpt-5-mini")
    tasks = [await fleet.submit(f"number {number}", tenant=tenant) for number, tenant in enumerate(("a", "a", "b"))]
    await fleet.all_ended(tasks, 30)
    price = 100 * 0.25e-6 + 20 * 2e-6  # US dollars of the usage that the upstream pretends
    for tenant, times in (("a", 2), ("b", 1)):
        cost = worker.metric("agent_cost_usd_total", model="openai-chat:gpt-5-mini", tenant=tenant)
        assert cost == pytest.approx(times * price)
        assert [line["cost_usd"] for line in worker.logs("run", tenant=tenant)] == [pytest.approx(price)] * times
