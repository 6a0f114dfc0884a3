"""Workers that are alive and do not move: frozen, blocked, or about to end."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.figures import Row
from support.fleet import TWO_CALLS, Fleet
from support.postgres import Postgres
from support.processes import Redis, Service, Upstream
from support.scenes import ALTERED
from support.waiting import becomes

pytestmark = pytest.mark.chaos

FROZEN_SECONDS = 60.0
BLOCKED_SECONDS = 10
AT_ONCE_SECONDS = 8.0  # well before a worker counts as dead
IN_HAND = "SELECT 1 FROM workflow_status WHERE status = 'PENDING' AND executor_id LIKE :executor"


@pytest.fixture
def both(tmp_path: Path, upstream: Upstream, redis: Redis, shared_postgres: Postgres) -> Iterator[list[Fleet]]:
    """A fleet on each database, so that the minute passes once."""
    urls = [f"sqlite:///{tmp_path / 'tasks.sqlite3'}", shared_postgres.new_database()]
    fleets = [Fleet(url, tmp_path, upstream, redis.url) for url in urls]
    yield fleets
    upstream.plays()
    for fleet in fleets:
        fleet.stop()


@pytest.mark.proves("pattern.queue")
async def test_a_worker_frozen_for_a_minute(both: list[Fleet], row: Row) -> None:
    """SIGSTOP in a model call, SIGCONT after 60 s: another has done the task, its one result stays, and the one that
    comes back works on."""

    async def scene(fleet: Fleet, name: str) -> float:
        frozen = await asyncio.to_thread(fleet.start)
        task = await fleet.submit(TWO_CALLS.format(name), id=name)
        await fleet.asks(TWO_CALLS.format(name), place=1)
        frozen.signal(signal.SIGSTOP)
        since = time.monotonic()
        other = await asyncio.to_thread(fleet.start)
        done = await fleet.ended(task, within=45)
        took = time.monotonic() - since
        recorded = "SELECT * FROM operation_outputs WHERE workflow_uuid = :task ORDER BY function_id"
        steps = fleet.rows(recorded, task=f"acme/{name}")
        await asyncio.sleep(FROZEN_SECONDS - took)
        frozen.signal(signal.SIGCONT)
        other.signal(signal.SIGTERM)
        ended = await fleet.ended(await fleet.submit("afterwards"), within=30)
        assert ended.status == "completed", "the one that came back works on"
        assert await fleet.now(task) == done
        assert (done.status, done.takeovers) == ("completed", 1)
        assert fleet.rows(recorded, task=f"acme/{name}") == steps
        assert not frozen.logs("task", outcome="completed", task_id=name)
        return took

    both[0].upstream.plays(latency=2.0)
    took = await asyncio.gather(*(scene(fleet, name) for fleet, name in zip(both, ("a", "b"), strict=True)))
    row.shows(done_elsewhere_after=[f"{seconds:.1f} s" for seconds in took])


@pytest.mark.proves("pattern.queue")
async def test_a_worker_that_comes_back_while_another_does_its_task(both: list[Fleet], row: Row) -> None:
    """SIGCONT when another is in the very model call that it was frozen in: it has the answer, which came meanwhile,
    and may neither record it nor end the task."""

    async def scene(fleet: Fleet, name: str) -> int:
        text = TWO_CALLS.format(name)
        frozen = await asyncio.to_thread(fleet.start, GUARD__TIMEOUT_SECONDS=120)
        task = await fleet.submit(text, id=name)
        await fleet.asks(text, place=1)
        frozen.signal(signal.SIGSTOP)
        other = await asyncio.to_thread(fleet.start)
        await becomes(lambda: fleet.texts().count(text) == 3, within=45, what="the other asks as well")
        frozen.signal(signal.SIGCONT)
        done = await fleet.ended(task)
        await asyncio.to_thread(other.logged, "task", outcome="completed", task_id=name)
        assert (done.status, done.takeovers) == ("completed", 1)
        assert not frozen.logs("task", task_id=name)
        return fleet.texts().count(text)

    both[0].upstream.plays(latency=4.0)
    asked = await asyncio.gather(*(scene(fleet, name) for fleet, name in zip(both, ("a", "b"), strict=True)))
    row.shows(model_calls=asked)
    assert asked == [3, 3]


@pytest.mark.proves("pattern.queue")
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_busy_worker_is_not_robbed(fleet: Fleet, row: Row) -> None:
    """Nothing in the process runs for 10 s: its tasks stay its own, though another worker has nothing to do."""
    settings: dict[str, Any] = {"program": ALTERED, "QUEUE__CONCURRENCY": 4}
    busy = await asyncio.to_thread(fleet.start, **settings)
    blocking = await fleet.submit(f'call block {{"seconds": {BLOCKED_SECONDS}}}')
    await fleet.asks(f'call block {{"seconds": {BLOCKED_SECONDS}}}')
    beside = await asyncio.to_thread(fleet.start, **settings)
    ended = await fleet.ended(blocking, within=60)
    row.shows(takeovers=ended.takeovers)
    assert (ended.status, ended.takeovers) == ("completed", 0)
    assert not beside.logs("worker_dead")
    assert len(busy.logs("task", outcome="completed")) == 1
    assert len(fleet.texts()) == 2


@pytest.mark.proves("scale.balancing")
async def test_a_worker_stopped_under_load(fleet: Fleet, row: Row) -> None:
    """SIGTERM: one worker finishes within its grace time what it has begun, one has no time and hands back at once;
    both exit with 0, nothing is lost, nothing that was recorded is done again."""
    fleet.upstream.plays(latency=1.0)
    workers = [await asyncio.to_thread(fleet.start, QUEUE__GRACE_SECONDS=seconds) for seconds in (10, 0)]
    patient, hasty = workers
    held = [partial(fleet.rows, IN_HAND, executor=f"%-{worker.pid}-%") for worker in workers]
    views = await fleet.submit_many(40)
    for worker, in_hand in zip(workers, held, strict=True):
        await becomes(in_hand, what="both have begun some")
        worker.signal(signal.SIGTERM)
    told = time.monotonic()

    async def seconds(worker: Service) -> float:
        await becomes(lambda: worker.exited is not None, within=30, what="it ends")
        return time.monotonic() - told

    async def seconds_and_hand_back() -> float:
        took = await seconds(hasty)
        starting = asyncio.create_task(asyncio.to_thread(fleet.start))
        await becomes(lambda: not held[1](), within=AT_ONCE_SECONDS, what="others have what it had begun")
        await starting
        return took

    ends = await asyncio.gather(seconds(patient), seconds_and_hand_back())
    ended = await fleet.all_ended(views, within=60)
    paid_again, cut_off = fleet.repeated()
    row.shows(
        exited_after=[f"{name} {end:.1f} s" for name, end in zip(("patient", "hasty"), ends, strict=True)],
        handed_back=[line["count"] for line in hasty.logs("tasks_handed_back")],
        all_done_after=f"{time.monotonic() - told:.1f} s",
        recorded_and_repeated=paid_again,
        cut_off_and_repeated=cut_off,
    )
    assert [patient.exited, hasty.exited] == [0, 0]
    assert max(ends) < 10 + 5, "QUEUE__GRACE_SECONDS, and a moment"
    assert {view.status for view in ended} == {"completed"}
    assert paid_again == 0
    assert hasty.logs("tasks_handed_back"), "what the hasty one had begun"
    assert sum(view.takeovers for view in ended) == 0, "nobody has died"
    assert not patient.logs("run", outcome="cancelled"), "what had begun was finished"
    assert hasty.logs("run", outcome="cancelled"), "what was broken off is accounted for"
    assert not hasty.logs(level="error"), "to hand back is no failure"
    assert not hasty.logs(action="task", outcome="dead"), "nor the end of a task"


@pytest.mark.proves("pattern.queue")
async def test_a_task_that_is_handed_back_again_and_again(fleet: Fleet, row: Row) -> None:
    """SIGTERM without grace time, three times, with QUEUE__MAX_TAKEOVERS at 0: nobody has died, so it is no suspect."""

    def asked(times: int) -> bool:
        return len(fleet.texts()) == times

    fleet.upstream.plays(latency=3.0)
    task = await fleet.submit("hello")
    for number in range(1, 4):
        worker = await asyncio.to_thread(fleet.start, QUEUE__GRACE_SECONDS=0, QUEUE__MAX_TAKEOVERS=0)
        await becomes(partial(asked, number), within=30, what="it is begun")
        assert await asyncio.to_thread(worker.stop) == 0
    fleet.upstream.plays()
    await asyncio.to_thread(fleet.start, QUEUE__MAX_TAKEOVERS=0)
    ended = await fleet.ended(task)
    row.shows(status=str(ended.status), takeovers=ended.takeovers)
    assert (ended.status, ended.takeovers) == ("completed", 0), ended


@pytest.mark.proves("pattern.queue")
async def test_a_blocked_loop_does_not_stretch_the_grace_time(fleet: Fleet, row: Row) -> None:
    """SIGTERM while a tool blocks the loop for 30 s, with 2 s of grace: the process hands its task back and leaves."""
    blocked = await asyncio.to_thread(fleet.start, program=ALTERED, QUEUE__GRACE_SECONDS=2)
    task = await fleet.submit('call stall {"seconds": 30}')
    await fleet.asks('call stall {"seconds": 30}')
    await asyncio.sleep(1)
    told = time.monotonic()
    blocked.signal(signal.SIGTERM)
    await becomes(lambda: blocked.exited is not None, within=25, what="it ends")
    took = time.monotonic() - told
    await asyncio.to_thread(fleet.start)  # a program that has no such tool
    ended = await fleet.ended(task)
    row.shows(exited_after=f"{took:.1f} s", code=blocked.exited, takeovers=ended.takeovers)
    assert blocked.exited == 0
    assert took < 2 + 8
    assert ended.takeovers == 0
