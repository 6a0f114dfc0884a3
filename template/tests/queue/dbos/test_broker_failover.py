"""The broker's Redis fails over: events and tasks go on with the new primary."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from support.fleet import Fleet
from support.redis_scene import Pair
from support.waiting import becomes

pytestmark = pytest.mark.proves("reliability.failover")

PLACE, TOPIC = "tests.tasks", "tests.events"


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tasks.sqlite3'}"


async def test_events_and_tasks_follow_the_address_to_the_new_primary(fleet: Fleet, pair: Pair) -> None:
    worker = fleet.start(
        EVENTS__BROKER_URL=pair.address.url, EVENTS__TOPIC=TOPIC, QUEUE__INTAKE=PLACE, GUARD__BREAKER_OPEN_SECONDS=1
    )

    def send(id: str) -> None:
        body = json.dumps({"input": id}).replace('"', '\\"')
        assert pair.primary.say(f'XADD {PLACE} * id {id} tenant acme body "{body}"').startswith("$")

    def completed() -> set[str]:
        lines = pair.primary.say(f"XRANGE {TOPIC} - +").splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{")]
        return {event["subject"] for event in events if event["type"].endswith(".completed")}

    send("before")
    await becomes(lambda: "before" in completed(), within=40, what="the first task is done, and its event is there")
    await asyncio.to_thread(pair.fail_over)
    send("after")
    await becomes(lambda: "after" in completed(), within=40, what="the second one as well")
    assert worker.metric("queue_intake_total", outcome="stored") == 2
