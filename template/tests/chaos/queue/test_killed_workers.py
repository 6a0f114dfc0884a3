"""Workers that die, by signals and by what they are given to do."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import Any

import pytest

from support.figures import Row
from support.fleet import TWO_CALLS, Fleet
from support.processes import Service, command
from support.scenes import ALTERED

pytestmark = pytest.mark.chaos

TASKS, KILLS, EVERY_SECONDS = 200, 6, 2.0
TAKEOVER_SECONDS = 15.0


class Held:
    """Watches how long dead workers' tasks stay theirs."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._killed: dict[str, float] = {}
        self.seconds: dict[str, float] = {}

    def kill(self, worker: Service) -> None:
        worker.kill()
        self._killed[f"{socket.gethostname()}-{worker.pid}-"] = time.monotonic()

    async def watch(self) -> None:
        while True:
            held = self._fleet.rows("SELECT DISTINCT executor_id FROM workflow_status WHERE status = 'PENDING'")
            for (executor,) in held:
                for dead, at in self._killed.items():
                    if executor.startswith(dead):
                        self.seconds[dead] = time.monotonic() - at
            await asyncio.sleep(0.2)


@pytest.mark.proves("pattern.queue")
@pytest.mark.proves("reliability.idempotency")
async def test_workers_killed_every_two_seconds(fleet: Fleet, row: Row) -> None:
    """200 tasks, 3 workers, one SIGKILLed every 2 s: all succeed, one result each, no model call repeated whose answer
    was recorded, takeover within 15 s."""
    fleet.upstream.plays(latency=0.5)
    settings: dict[str, Any] = {"QUEUE__CONCURRENCY": 6, "QUEUE__MAX_TAKEOVERS": 100}
    await asyncio.to_thread(fleet.start_several, 3, **settings)
    views = await fleet.submit_many(TASKS)
    held = Held(fleet)
    watching = asyncio.create_task(held.watch())
    kills, end = 0, time.monotonic() + 60
    while kills < KILLS and time.monotonic() < end:
        await asyncio.sleep(EVERY_SECONDS)
        # The one that has worked longest, once there is another: replacements take a while to start on a slow machine.
        working = [worker for worker in fleet.workers if not worker.killed and worker.logs("working")]
        if len(working) > 1:
            held.kill(working[0])
            fleet.start(ready=False, **settings)
            kills += 1
    ended = await fleet.all_ended(views, within=120)
    watching.cancel()
    paid_again, cut_off = fleet.repeated()
    row.shows(
        killed=kills,
        taken_over=sum(view.takeovers for view in ended),
        takeover_at_most=f"{max(held.seconds.values()):.1f} s",
        recorded_and_repeated=paid_again,
        cut_off_and_repeated=cut_off,
    )
    assert [view.result.id for view in ended if view.result] == [view.id for view in views]
    assert len(fleet.rows("SELECT workflow_uuid FROM workflow_status WHERE status = 'SUCCESS'")) == TASKS
    assert kills == KILLS
    assert paid_again == 0
    assert max(held.seconds.values()) < TAKEOVER_SECONDS


@pytest.mark.proves("pattern.queue")
@pytest.mark.proves("pattern.bulkhead")
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_task_that_kills_its_worker(fleet: Fleet, row: Row) -> None:
    """It is a dead letter after QUEUE__MAX_TAKEOVERS (1) takeovers, with its reason; all others are done."""
    settings: dict[str, Any] = {"program": ALTERED, "QUEUE__MAX_TAKEOVERS": 1}
    await asyncio.to_thread(fleet.start_several, 3, **settings)
    deadly = await fleet.submit("call crash {}")
    others = await fleet.submit_many(30)
    dead = await fleet.ended(deadly, within=60)
    ended = await fleet.all_ended(others, within=60)
    lost = [worker for worker in fleet.workers if worker.exited is not None]
    row.shows(workers_lost=len(lost), others_done=sum(view.status == "completed" for view in ended))
    for worker in lost:
        worker.killed = True
    assert (dead.status, dead.takeovers) == ("dead", 2), dead
    assert dead.error
    assert dead.error.type == "urn:problem:worker-lost"
    assert len(lost) == 2
    assert {view.status for view in ended} == {"completed"}
    assert max(view.takeovers for view in ended) <= 2


@pytest.mark.proves("pattern.queue")
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_task_that_killed_its_workers_is_retried_when_its_cause_is_mended(fleet: Fleet, row: Row) -> None:
    """QUEUE__MAX_TAKEOVERS as it is: the task dies, `dead list` shows it, `dead retry` has a mended worker do it."""

    def said(*words: str) -> list[dict[str, Any]]:
        result = command(*words, folder=fleet.folder, **fleet.settings)
        assert result.returncode == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    deadly = await fleet.submit("call crash {}", id="deadly")
    end = time.monotonic() + 180
    while not (await fleet.now(deadly)).status.final and time.monotonic() < end:
        alive = [worker for worker in fleet.workers if worker.exited is None]
        for _ in range(len(alive), 2):
            fleet.start(ready=False, program=ALTERED)
        await asyncio.sleep(0.2)
    lost = [worker for worker in fleet.workers if worker.exited is not None]
    for worker in fleet.workers:
        worker.kill()
    (dead,) = await asyncio.to_thread(said, "dead", "list")
    await asyncio.to_thread(said, "dead", "retry", "deadly", "--tenant", "acme")
    await asyncio.to_thread(fleet.start)  # a program that has no such tool
    await fleet.ended(deadly)
    (mended,) = await asyncio.to_thread(said, "status", "deadly", "--tenant", "acme")
    row.shows(workers_lost=len(lost), reason=dead["error"]["type"], after_the_retry=mended["status"])
    assert (dead["id"], dead["status"], dead["error"]["type"]) == ("deadly", "dead", "urn:problem:worker-lost")
    assert len(lost) == 4, "its first worker's, and three takeovers"
    assert mended["status"] == "completed"


@pytest.mark.proves("pattern.queue")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_worker_killed_while_a_refused_task_waits(fleet: Fleet, row: Row) -> None:
    """The kill switch refuses a task, which waits; its worker is killed, the switch set off: another does the task."""

    def switch(value: str) -> None:
        done = command("flags", "set", "kill_switch", value, folder=fleet.folder, **fleet.settings)
        assert done.returncode == 0, done.stderr

    await asyncio.to_thread(switch, "on")
    refused = await asyncio.to_thread(fleet.start)
    task = await fleet.submit(TWO_CALLS.format(0), id="0")
    await asyncio.to_thread(refused.logged, "run", outcome="switched-off")
    refused.kill()
    await asyncio.to_thread(switch, "off")
    await asyncio.to_thread(fleet.start)
    ended = await fleet.ended(task, within=30)
    row.shows(status=ended.status, takeovers=ended.takeovers)
    assert (ended.status, ended.takeovers) == ("completed", 1), ended
    assert len(fleet.texts()) == 2
