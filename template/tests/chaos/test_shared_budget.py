"""A daily budget, used by many callers on two replicas."""

from __future__ import annotations

import asyncio

import pytest

from conftest import KEY, StartService
from support.figures import Row
from support.load import Load, statuses
from support.processes import Redis, Upstream

pytestmark = pytest.mark.chaos

BUDGET = 10_000  # tokens
A_RUN = 350  # tokens that the upstream bills per run


@pytest.mark.proves("cost.budgets")
@pytest.mark.proves("scale.horizontal")
async def test_daily_budget_of_ten_thousand_tokens(
    upstream: Upstream, start_service: StartService, redis: Redis, row: Row
) -> None:
    """32 callers, two replicas: at most one run per replica exceeds the budget, all of it is used, and refused
    callers get a `Retry-After`."""
    settings = {"STATE_URL": redis.url, "BUDGET__TOKENS_PER_DAY": BUDGET, "BUDGET__TOKENS_PER_RUN": 1_000}
    replicas = [start_service(**settings) for _ in range(2)]
    upstream.plays(latency=0.1, prompt_tokens=A_RUN - 50, completion_tokens=50)
    loads = [Load(replica.url, [KEY]) for replica in replicas]
    async with loads[0], loads[1]:
        given = await asyncio.gather(*(load.callers(16, runs=60) for load in loads))
    answers = [answer for answers in given for answer in answers]
    refused = [answer for answer in answers if answer.status == 429]
    spent = upstream.attempts() * A_RUN
    row.shows(statuses=statuses(answers), spent=f"{spent} of {BUDGET} tokens", over=max(0, spent - BUDGET))
    assert set(statuses(answers)) == {200, 429}
    assert BUDGET <= spent <= BUDGET + len(replicas) * A_RUN
    assert {answer.json["type"] for answer in refused} == {"urn:problem:budget-exceeded"}
    assert all(0 < int(answer.headers["retry-after"]) <= 86_400 for answer in refused)
