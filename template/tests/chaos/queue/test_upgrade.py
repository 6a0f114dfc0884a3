"""Workers of one version, tasks of another."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from typing import Any

import pytest

from support.figures import Row
from support.fleet import TWO_CALLS, Fleet
from support.processes import command
from support.scenes import ALTERED
from support.waiting import becomes

pytestmark = pytest.mark.chaos


@pytest.mark.proves("pattern.queue")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_tasks_of_version_a_are_done_by_workers_of_version_b(fleet: Fleet, row: Row) -> None:
    """Queued and begun under A: B, whose steps are in another order (WORKFLOW_VERSION), does what was only queued; A,
    which drains, does what it has begun. All are done, and B's own too."""
    fleet.upstream.plays(latency=1.0)
    old = await asyncio.to_thread(fleet.start, QUEUE__CONCURRENCY=4)
    views = await fleet.submit_many(20)
    await fleet.begun(views[3])
    new = await asyncio.to_thread(fleet.start, program=ALTERED, ALTERED_WORKFLOW_VERSION="2")
    old.signal(signal.SIGTERM)
    views.append(await fleet.submit("of version B"))
    ended = await fleet.all_ended(views, within=60)
    shares = [len(worker.logs("task", outcome="completed")) for worker in (old, new)]
    row.shows(done_by_a=shares[0], done_by_b=shares[1])
    assert {view.status for view in ended} == {"completed"}
    assert min(shares) > 0
    assert sum(shares) == len(views)


@pytest.mark.proves("pattern.queue")
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("version", ["1", "2"], ids=["other code", "other steps"])
async def test_tasks_that_version_a_has_only_queued(fleet: Fleet, version: str, row: Row) -> None:
    """Queued under A, of which nobody is left: B, with other tools and with or without another WORKFLOW_VERSION, does
    them all."""
    asked = await asyncio.to_thread(command, "submit", "hello", "--id", "a", folder=fleet.folder, **fleet.settings)
    assert asked.returncode == 0, asked.stderr
    views = [await fleet.tasks.get("a", tenant="local"), *await fleet.submit_many(10)]
    await asyncio.to_thread(fleet.start, program=ALTERED, ALTERED_WORKFLOW_VERSION=version)
    ended = await fleet.all_ended(views, within=60)
    row.shows(done_by_b=len(ended))
    assert {view.status for view in ended} == {"completed"}


@pytest.mark.proves("pattern.queue")
@pytest.mark.proves("scale.balancing")
async def test_tasks_that_version_a_hands_back(fleet: Fleet, row: Row) -> None:
    """A is stopped in the middle of model calls and has no grace time: B, with other tools and the same
    WORKFLOW_VERSION, goes on at once where A was; nothing that was recorded is done again."""
    fleet.upstream.plays(latency=1.0)
    old = await asyncio.to_thread(fleet.start, QUEUE__GRACE_SECONDS=0)
    views = await fleet.submit_many(20)
    await fleet.asks(TWO_CALLS.format(7), place=1)
    in_hand = [view for view in [await fleet.now(view) for view in views] if view.status == "running"]
    assert await asyncio.to_thread(old.stop) == 0, old.output
    handed_back = [view for view in in_hand if not (await fleet.now(view)).status.final]
    new = await asyncio.to_thread(fleet.start, program=ALTERED)
    first = await fleet.ended(handed_back[0], within=8)
    ended = await fleet.all_ended(views, within=60)
    paid_again, cut_off = fleet.repeated()
    shares = [len(worker.logs("task", outcome="completed")) for worker in (old, new)]
    row.shows(done_by_a=shares[0], done_by_b=shares[1], handed_back=len(handed_back), cut_off_and_repeated=cut_off)
    assert first.takeovers == 0
    assert [view.result.id for view in ended if view.result] == [view.id for view in views]
    assert sum(shares) == len(views)
    assert paid_again == 0


@pytest.mark.proves("pattern.queue")
@pytest.mark.proves("scale.balancing")
async def test_an_upgrade_with_work_in_hand(fleet: Fleet, row: Row) -> None:
    """Two workers of version A leave one by one without grace time, workers of version B (WORKFLOW_VERSION) come: every
    task ends, also what the last worker of A has handed back."""
    settings: dict[str, Any] = {"QUEUE__GRACE_SECONDS": 0, "QUEUE__CONCURRENCY": 4}
    old = await asyncio.to_thread(fleet.start_several, 2, **settings)
    fleet.upstream.plays({"fault": "hang"})
    views = await fleet.submit_many(16)
    held = "SELECT 1 FROM workflow_status WHERE status = 'PENDING' AND executor_id LIKE :executor"
    for worker in old:
        in_hand = partial(fleet.rows, held, executor=f"%-{worker.pid}-%")
        await becomes(in_hand, within=30, what="both have begun some")
    new = [await asyncio.to_thread(fleet.start, program=ALTERED, ALTERED_WORKFLOW_VERSION="2", QUEUE__CONCURRENCY=1)]
    for worker in old:
        assert await asyncio.to_thread(worker.stop) == 0, worker.output
    fleet.upstream.plays()
    handed_back = [line["count"] for worker in old for line in worker.logs("tasks_handed_back")]
    new.append(await asyncio.to_thread(fleet.start, program=ALTERED, ALTERED_WORKFLOW_VERSION="2"))
    ended = await fleet.all_ended(views, within=60)
    paid_again, _ = fleet.repeated()
    row.shows(
        handed_back=handed_back,
        ended={str(view.status) for view in ended},
        taken_over=sum(view.takeovers for view in ended),
        recorded_and_repeated=paid_again,
    )
    assert handed_back
    assert {view.status for view in ended} == {"completed"}
    assert sum(view.takeovers for view in ended) == 0
    assert paid_again == 0
    assert not any(worker.logs("worker_dead") for worker in new)
