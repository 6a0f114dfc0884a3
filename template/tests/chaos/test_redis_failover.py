"""Redis fails over, refuses, or hangs, while replicas work. See test_redis_outage.py for one that is just gone."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread

import pytest

from conftest import KEY, StartService
from support.figures import Row
from support.load import Answer, Load, statuses
from support.processes import Redis, Service, Upstream, call
from support.redis_scene import Pair, sentinels
from support.scenario import in_turn
from support.waiting import becomes, eventually

pytestmark = [pytest.mark.chaos, pytest.mark.proves("reliability.failover")]

A_RUN = 350  # tokens that the upstream bills for each
AT_MOST = 3.0  # seconds that a Redis which hangs may cost a request


class Watch:
    """What each replica's `/readyz` and metric say of the state store, looked at ten times a second."""

    def __init__(self, replicas: list[Service]) -> None:
        self._replicas = replicas
        self._stop = Event()
        self._thread = Thread(target=self._look_on, daemon=True)
        self.looks = self.disagreements = self.not_ready = 0

    def _look_on(self) -> None:
        while not self._stop.wait(0.1):
            for replica in self._replicas:
                before = replica.metric("state_degraded")
                status, body = call("GET", f"{replica.url}/readyz")
                after = replica.metric("state_degraded")
                self.looks += 1
                self.not_ready += status != 200
                # A switch between two looks is none; and no answer yet is no verdict.
                said = float(b"this process's memory" in body)
                self.disagreements += before == after != said

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._thread.start()
        yield
        self._stop.set()
        self._thread.join()

    def switches(self) -> int:
        """The most that a replica has reported; not that it has learned more about the reason."""
        said = [[bool(line["shared"]) for line in replica.logs("state_store")] for replica in self._replicas]
        return max(sum(one != other for one, other in pairwise([True, *each])) for each in said)


def booked(redis: Redis) -> int:
    """Tokens, of all tenants."""
    accounts = re.findall(r"\S+:spent", redis.say("KEYS *:spent"))
    return sum(int(redis.say(f"HGET {account} tokens").split()[1]) for account in accounts)


@pytest.mark.proves("cost.budgets")
@pytest.mark.parametrize("address_after", [0.0, 1.5], ids=["the address moves at once", "the address moves late"])
async def test_redis_failover_under_load(
    address_after: float, upstream: Upstream, start_service: StartService, pair: Pair, row: Row
) -> None:
    """Old connections lead to what is a replica now: no answer but 200, writes go to the new primary at once, health
    and metric agree and switch once, every token is booked once."""
    replicas = [start_service(STATE_URL=pair.address.url) for _ in range(2)]
    upstream.plays(latency=0.05, prompt_tokens=A_RUN - 50, completion_tokens=50)
    watch = Watch(replicas)
    async with Load(in_turn(replicas), [KEY]) as load:
        with watch.watching():
            async with load.going_on(callers=8, per_second=24):
                await asyncio.sleep(2)
                await asyncio.to_thread(pair.fail_over, address_after=address_after)
                over_at = time.monotonic()
                await becomes(
                    lambda: all(replica.metric("state_degraded") == 0 for replica in replicas), what="they are back"
                )
                back_after = time.monotonic() - over_at
                await asyncio.sleep(3)
        late = [answer for answer in load.answers if answer.began > time.time() - 2]
    row.shows(
        statuses=statuses(load.answers),
        slowest=f"{max(answer.seconds for answer in load.answers):.2f} s",
        degraded_answers=sum(answer.degraded for answer in load.answers),
        back_after=f"{back_after:.1f} s",
        switches=watch.switches(),
        disagreements=f"{watch.disagreements} of {watch.looks} looks",
        booked=f"{booked(pair.primary)} of {upstream.attempts() * A_RUN} tokens",
    )
    assert statuses(load.answers) == {200: len(load.answers)}
    assert max(answer.seconds for answer in load.answers) < AT_MOST
    assert not any(answer.degraded for answer in late)
    assert watch.switches() == (2 if address_after else 0)
    assert (watch.disagreements, watch.not_ready) == (0, 0)
    assert back_after < 5
    assert booked(pair.primary) == upstream.attempts() * A_RUN
    await becomes(lambda: pair.replica.connections() <= 1, what="only the replication is left on the old primary")


@pytest.mark.parametrize("shared_breakers", [False, True], ids=["own breakers", "shared breakers"])
async def test_frozen_redis_and_the_first_request(
    shared_breakers: bool, upstream: Upstream, start_service: StartService, own_redis: Redis, row: Row
) -> None:
    """The first request takes at most 3 s longer, those that begin with it too; the next one no longer than ever."""
    service = start_service(STATE_URL=own_redis.url, GUARD__SHARED_BREAKERS=shared_breakers)
    async with Load(service.url, [KEY]) as load:
        before = await load.ask()
        own_redis.freeze()
        first = await asyncio.gather(*[load.ask(idempotency_key=f"key-{n}") for n in range(10)])
        second = await load.ask()
        status, ready = call("GET", f"{service.url}/readyz")
        own_redis.thaw()
    slowest = max(answer.seconds for answer in first)
    row.shows(before=f"{before.seconds:.2f} s", first=f"{slowest:.2f} s", second=f"{second.seconds:.2f} s")
    assert {answer.status for answer in [*first, second]} == {200}
    assert slowest < AT_MOST
    assert second.seconds < before.seconds + 0.5
    assert second.degraded
    assert status == 200
    assert b"unreachable" in ready


def says(line: str) -> Callable[..., object]:
    return lambda redis, _: redis.say(line)


def no_disk(redis: Redis, folder: Path) -> None:
    """What is to be saved cannot be, as when the disk is full: a folder is in its place."""
    redis.say("CONFIG SET save '3600 1'")
    redis.say("SET changed 1")
    (folder / "dump.rdb").mkdir()
    redis.say("BGSAVE")
    eventually(lambda: "rdb_last_bgsave_status:err" in redis.say("INFO persistence"), what="it was not saved")


def disk(redis: Redis, folder: Path) -> None:
    (folder / "dump.rdb").rmdir()
    redis.say("BGSAVE")


@pytest.mark.parametrize(
    ("breaks", "mends", "named"),
    [
        pytest.param(says("REPLICAOF 127.0.0.1 1"), says("REPLICAOF NO ONE"), "READONLY", id="read-only"),
        pytest.param(says("CONFIG SET maxmemory 1"), says("CONFIG SET maxmemory 0"), "OOM", id="memory full"),
        pytest.param(no_disk, disk, "MISCONF", id="disk full"),
        pytest.param(
            says("ACL SETUSER default -@scripting"), says("ACL SETUSER default +@all"), "'eval'", id="no scripts"
        ),
    ],
)
async def test_redis_refuses_writes_and_answers_reads(
    breaks: Callable[..., object],
    mends: Callable[..., object],
    named: str,
    upstream: Upstream,
    start_service: StartService,
    own_redis: Redis,
    tmp_path: Path,
    row: Row,
) -> None:
    """Answers are degraded, `/readyz` and the log name the reason, nothing flaps; mended, it is in use again."""
    service = start_service(STATE_URL=own_redis.url)
    watch = Watch([service])

    async def ask(load: Load, number: int) -> list[Answer]:
        return [await load.ask(idempotency_key=f"{named}-{time.monotonic()}") for _ in range(number)]

    async with Load(service.url, [KEY]) as load:
        with watch.watching():
            await ask(load, 3)
            breaks(own_redis, tmp_path)
            refused = await ask(load, 20)
            await becomes(lambda: named.encode() in call("GET", f"{service.url}/readyz")[1], what=f"{named} is named")
            await asyncio.sleep(2)
            refused += await ask(load, 20)
            degraded = service.metric("state_degraded")
            mends(own_redis, tmp_path)
            mended_at = time.monotonic()
            await becomes(lambda: service.metric("state_degraded") == 0, what="it is in use again")
            back_after = time.monotonic() - mended_at
            after = await ask(load, 3)
    lines = [line for line in service.logs("state_store") if not line["shared"]]
    row.shows(
        statuses=statuses(load.answers),
        slowest=f"{max(answer.seconds for answer in load.answers):.2f} s",
        back_after=f"{back_after:.1f} s",
        disagreements=f"{watch.disagreements} of {watch.looks} looks",
        said=lines[-1]["reason"],
    )
    assert statuses(load.answers) == {200: len(load.answers)}
    assert sum(not answer.degraded for answer in refused) <= 3, "those that ended before a write was refused"
    assert not any(answer.degraded for answer in after)
    assert degraded == 1
    assert (watch.disagreements, watch.not_ready) == (0, 0)
    assert len([line for line in service.logs("state_store") if line["shared"]]) == 1
    assert named in lines[-1]["reason"]
    assert back_after < 3


async def test_a_primary_that_sentinels_watch_dies_under_load(
    upstream: Upstream, start_service: StartService, pair: Pair, tmp_path: Path, row: Row
) -> None:
    """No answer but 200, and the new primary is in use a few seconds after the old one has died."""
    with sentinels(tmp_path, pair) as watching:
        replicas = [start_service(STATE_URL=watching.url) for _ in range(2)]
        upstream.plays(latency=0.05)
        async with Load(in_turn(replicas), [KEY]) as load, load.going_on(callers=8, per_second=24):
            await asyncio.sleep(1)
            pair.primary.kill()
            died_at = time.monotonic()
            await becomes(
                lambda: all(len(replica.logs("state_store", shared=True)) == 1 for replica in replicas),
                within=20,
                what="both use the new primary",
            )
            back_after = time.monotonic() - died_at
            await asyncio.sleep(1)
        late = [answer for answer in load.answers if answer.began > time.time() - 0.8]
        row.shows(
            statuses=statuses(load.answers),
            slowest=f"{max(answer.seconds for answer in load.answers):.2f} s",
            degraded_answers=sum(answer.degraded for answer in load.answers),
            back_after=f"{back_after:.1f} s",
        )
        assert statuses(load.answers) == {200: len(load.answers)}
        assert max(answer.seconds for answer in load.answers) < AT_MOST
        assert not any(answer.degraded for answer in late)
        assert pair.replica.say("KEYS *budget*").startswith("*")
