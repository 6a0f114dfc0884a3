"""Clients that leave, streams that are cut, providers that do not count: what we book against what they bill."""

from __future__ import annotations

import asyncio
import random

import httpx2
import pytest

from conftest import KEY, StartService, client_of
from support.figures import Row
from support.processes import Json, Redis, Service, Upstream
from support.scenario import NEVER_OPENS
from support.waiting import becomes

pytestmark = [pytest.mark.chaos, pytest.mark.proves("cost.truth")]

Client = httpx2.AsyncClient

BUDGET = 6_000  # tokens of a tenant and day
QUESTION = "Tell me about the " + "very " * 100 + "long way home."
ANSWER = "a word or two " * 60


async def ask(client: Client, *, stream: bool = False, leaves_after: int = 0) -> int:
    """One run; a reader that `leaves_after` so many pieces leaves."""
    body = {"input": QUESTION, "stream": stream or leaves_after > 0}
    async with client.stream("POST", "/v1/runs", json=body) as response:
        seen = 0
        async for line in response.aiter_lines():
            seen += line.startswith("event: delta")
            if 0 < leaves_after == seen:
                break
    return response.status_code


def booked(service: Service) -> int:
    """Tokens in the log lines of all runs so far."""
    return sum(int(line["input_tokens"]) + int(line["output_tokens"]) for line in service.logs("run"))


@pytest.mark.proves("cost.budgets")
@pytest.mark.parametrize(
    ("stream", "leaves_after", "deadline", "rules", "script"),
    [
        (True, 3, 10, [], {"chunk_seconds": 0.01}),
        (True, 0, 10, [{"fault": "cut"}], {}),
        (True, 0, 0.7, [], {"chunk_seconds": 0.05}),
        (False, 0, 0.7, [{"fault": "hang"}], {}),
        (False, 0, 10, [], {"usage": None}),
        (True, 0, 10, [], {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}),
    ],
    ids=["streams left", "streams cut", "streams past the deadline", "504", "no usage", "zero usage"],
)
async def test_a_budget_of_six_thousand_tokens_and(
    stream: bool,
    leaves_after: int,
    deadline: float,
    rules: list[Json],
    script: Json,
    start_service: StartService,
    upstream: Upstream,
    row: Row,
) -> None:
    """A tenant's day ends at its budget, whatever becomes of its runs, give or take what an estimate is off."""
    settings = {"GUARD__ATTEMPTS": 1, "RUN__DEADLINE_SECONDS": deadline, **NEVER_OPENS}
    service = start_service(BUDGET__TOKENS_PER_DAY=BUDGET, **settings)
    upstream.plays(*rules, by_characters=True, answer=ANSWER, **script)
    runs = 0
    async with client_of(service, KEY) as client, asyncio.timeout(120):
        while await ask(client, stream=stream, leaves_after=leaves_after) != 429:
            runs += 1
            await becomes(lambda: len(service.logs("run")) == runs, what="the run is over")  # noqa: B023
    await becomes(lambda: upstream.stats()["open"] == 0, what="the upstream has let go")
    real = sum(upstream.billed())
    row.shows(runs=runs, upstream_counts=f"{real} of {BUDGET} tokens", we_booked=booked(service))
    assert BUDGET * 0.7 < real < (BUDGET + real / runs) * 1.35
    assert BUDGET <= booked(service) < BUDGET + 2 * booked(service) / runs


@pytest.mark.parametrize("usage", ["told", None], ids=["usage told", "no usage"])
async def test_everything_at_once(usage: str | None, start_service: StartService, upstream: Upstream, row: Row) -> None:
    """200 runs, most of them left or broken off in some way: what is booked is what the upstream has counted, but for
    what it wrote and nobody received."""
    service = start_service(GUARD__TIMEOUT_SECONDS=2, RUN__DEADLINE_SECONDS=6, **NEVER_OPENS)
    faults = [{"fault": fault, "share": 0.05} for fault in ("hang", "cut", "truncated_json", "status")]
    upstream.plays(*faults, by_characters=True, answer=ANSWER, chunk_seconds=0.005, usage=usage)
    draw = random.Random(0)

    async def caller(client: Client) -> None:
        for _ in range(20):
            leaves_after = draw.choice((0, 0, 1, 10, 40))
            await ask(client, stream=draw.random() < 0.5, leaves_after=leaves_after)

    async with client_of(service, KEY) as client, asyncio.TaskGroup() as callers:
        for _ in range(10):
            callers.create_task(caller(client))
    await becomes(lambda: len(service.logs("run")) == 200, within=20, what="all runs are over")
    await becomes(lambda: upstream.stats()["open"] == 0, what="the upstream has let go")
    real, ours = sum(upstream.billed()), booked(service)
    row.shows(upstream_counts=f"{real} tokens", we_booked=ours, off=f"{100 * (ours / real - 1):+.1f}%")
    assert abs(ours / real - 1) < 0.2
    assert service.metric("gen_ai_client_token_usage_sum") == ours, "log and metric say the same"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_run_whose_process_is_killed_in_the_model_call(
    stream: bool, start_service: StartService, upstream: Upstream, own_redis: Redis, row: Row
) -> None:
    """Nobody can say any more what it took: its reservation is booked, once, and the day ends earlier by it."""
    settings = {
        "STATE_URL": own_redis.url,
        "BUDGET__TOKENS_PER_RUN": 2_000,
        "BUDGET__TOKENS_PER_DAY": 2_500,
        "GUARD__ATTEMPTS": 1,
        **NEVER_OPENS,
    }
    killed, others = start_service(**settings), [start_service(**settings) for _ in range(2)]
    upstream.plays({"fault": "hang"})
    async with client_of(killed, KEY) as client:
        asked = asyncio.create_task(ask(client, stream=stream))
        await becomes(lambda: upstream.attempts() == 1, what="the model works")
        killed.kill()
        await asyncio.gather(asked, return_exceptions=True)
    upstream.plays(by_characters=True, answer="yes")
    _hold_is_over(own_redis)
    async with client_of(others[0], KEY) as one, client_of(others[1], KEY) as two:
        statuses = await asyncio.gather(*[ask(client) for client in (one, two) * 4])
    lapsed = sum(service.metric("agent_budget_lapsed_total") for service in others)
    row.shows(booked_for_the_killed_run=f"{lapsed:g} tokens", answers_after_it=statuses.count(200))
    assert lapsed == 2_000
    assert 0 < statuses.count(200) < 4, "500 tokens were left"


def _hold_is_over(redis: Redis) -> None:
    """As it is 30 seconds after the run's deadline."""
    held = next(word for word in redis.say("KEYS *:held").split() if word.endswith(":held"))
    member = redis.say(f"ZRANGE {held} 0 0").split("\r\n")[2]
    assert redis.say(f'ZINCRBY {held} -3600000 "{member}"')
