"""Redis stops and returns, while two replicas work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from conftest import StartService
from support.figures import Row
from support.load import Answer, Load, statuses
from support.processes import Redis, Service, Upstream, call, new_key
from support.scenario import in_turn
from support.waiting import becomes

pytestmark = pytest.mark.chaos

PER_MINUTE = 60  # per key; the load uses enough keys to stay below it
CLIENTS = 30
OUTAGE = 5.0


def clients() -> tuple[list[str], dict[str, Any]]:
    """Keys, each with its own tenant, and the setting with their hashes."""
    made = [new_key() for _ in range(CLIENTS + 3)]
    return [key for key, _ in made], {
        f"client-{number}": {"hash": hash_, "tenant": f"tenant-{number}"} for number, (_, hash_) in enumerate(made)
    }


@pytest.mark.proves("scale.rate_limits")
@pytest.mark.proves("scale.horizontal")
@pytest.mark.proves("reliability.idempotency")
@pytest.mark.proves("reliability.health")
@pytest.mark.parametrize(
    ("goes", "comes_back"),
    [(Redis.kill, Redis.start), (Redis.freeze, Redis.thaw)],
    ids=["killed and restarted", "frozen and thawed"],
)
async def test_redis_outage_under_load(
    goes: Callable[..., None],
    comes_back: Callable[..., None],
    upstream: Upstream,
    start_service: StartService,
    own_redis: Redis,
    row: Row,
) -> None:
    """It causes no 5xx; limits are shared, then counted per replica, then shared again; responses say if an
    Idempotency-Key holds in one replica only; `/readyz` stays 200."""
    keys, auth = clients()
    settings = {"STATE_URL": own_redis.url, "AUTH__KEYS": auth, "LIMITS__REQUESTS_PER_MINUTE": PER_MINUTE}
    replicas = [start_service(**settings) for _ in range(2)]
    upstream.plays(latency=0.05)
    let_in = {}

    async def burst(key: str) -> int:
        """Sends twice the limit to both replicas; returns the number of accepted requests."""
        async with Load(in_turn(replicas), [key]) as load:
            answers = await load.callers(4, runs=2 * PER_MINUTE)
        assert set(statuses(answers)) <= {200, 429}, statuses(answers)
        return statuses(answers)[200]

    async with Load(in_turn(replicas), keys[:CLIENTS]) as load, load.going_on(callers=8, per_second=24):
        let_in["before"] = await burst(keys[-1])
        twice = [await ask(replica, keys[0], "before") for replica in replicas]
        goes(own_redis)
        down_at = time.time()
        let_in["during"] = await burst(keys[-2])
        alone = await ask(replicas[0], keys[0], "during")
        reported = [call("GET", f"{replica.url}/readyz") for replica in replicas]
        degraded = [replica.metric("state_degraded") for replica in replicas]
        await asyncio.sleep(max(0.0, OUTAGE - (time.time() - down_at)))
        comes_back(own_redis)
        up_at = time.time()
        await becomes(
            lambda: all(replica.metric("state_degraded") == 0 for replica in replicas), what="the replicas are back"
        )
        back_after = time.time() - up_at
        let_in["after"] = await burst(keys[-3])
        again = [await ask(replica, keys[0], "after") for replica in replicas]
    row.shows(
        statuses=statuses(load.answers),
        slowest=f"{max(answer.seconds for answer in load.answers):.2f} s",
        degraded_answers=sum(answer.degraded for answer in load.answers),
        **{f"let_in_of_{2 * PER_MINUTE}": let_in},
        back_after=f"{back_after:.1f} s",
    )
    assert statuses(load.answers) == {200: len(load.answers)}
    assert max(answer.seconds for answer in load.answers) < 6, "those in flight wait for two time-outs, no other one"
    assert (let_in["before"], let_in["after"]) == (PER_MINUTE, PER_MINUTE)
    assert PER_MINUTE < let_in["during"] <= 2 * PER_MINUTE
    assert degraded == [1.0, 1.0]
    assert [status for status, _ in reported] == [200, 200]
    assert all(b"unreachable" in body for _, body in reported)
    for answers in (twice, again):
        assert answers[1].headers["idempotency-replayed"] == "true"
        assert answers[0].json["id"] == answers[1].json["id"]
        assert not any("idempotency-scope" in answer.headers for answer in answers)
    assert alone.headers["idempotency-scope"] == "process"


async def ask(replica: Service, key: str, idempotency_key: str) -> Answer:
    async with Load(replica.url, [key]) as load:
        return await load.ask("the same", idempotency_key=idempotency_key)
