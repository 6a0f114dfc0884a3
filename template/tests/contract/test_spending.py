"""What calls a model is booked once, on every path: the upstream's own count against ours."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from conftest import KEY, StartService, client_of, settings_for
from support.processes import Json, Service, Upstream
from support.waiting import becomes

Client = httpx2.AsyncClient
Act = Callable[[Client], Awaitable[object]]

MODEL = "openai-chat:gpt-4o"
READ, WRITTEN = 2.5e-6, 10e-6  # US dollars a token
QUESTION = "Tell me about the " + "very " * 200 + "long way home."
TOOL = 'call convert_units {"value": 12, "source": "km", "target": "miles"}'
LONG = "a word or two " * 100


@pytest.fixture(scope="module")
def priced(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose models have a price, and whose runs have little time."""
    settings = settings_for(
        shared_upstream,
        MODEL__PRIMARY=MODEL,
        MODEL__FALLBACK="openai-chat:gpt-4o-mini",
        MODEL__FALLBACK_BASE_URL=f"{shared_upstream.url}/v1",
        MODEL__FALLBACK_API_KEY="key-of-the-fallback",
        GUARD__ATTEMPTS=2,
        GUARD__TIMEOUT_SECONDS=1,
        GUARD__BREAKER_MINIMUM_CALLS=1_000_000,
        GUARD__RETRY_BUDGET=1.0,
        RUN__DEADLINE_SECONDS=3,
    )
    service = Service(tmp_path_factory.mktemp("priced"), **settings).wait_ready()
    yield service
    shared_upstream.plays()
    assert service.stop() == 0, service.output


async def whole(client: Client, text: str = QUESTION) -> httpx2.Response:
    return await client.post("/v1/runs", json={"input": text})


async def streamed(client: Client, text: str = QUESTION) -> httpx2.Response:
    return await client.post("/v1/runs", json={"input": text, "stream": True})


async def with_a_tool(client: Client) -> httpx2.Response:
    return await whole(client, f"{QUESTION} {TOOL}")


def left_after(pieces: int) -> Act:
    """A reader of a stream that goes away after so many pieces."""

    async def leave(client: Client) -> None:
        body = {"input": QUESTION, "stream": True}
        async with client.stream("POST", "/v1/runs", json=body) as response:
            seen = 0
            async for line in response.aiter_lines():
                seen += line.startswith("event: delta")
                if seen == pieces:
                    return

    return leave


async def left_before_the_answer(client: Client) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        await client.post("/v1/runs", json={"input": QUESTION}, timeout=0.4)


SLOW = {"chunk_seconds": 0.01, "answer": LONG}
HANGS: Json = {"fault": "hang"}
ONCE: Json = {"times": 1}

# What the client does, what the upstream plays, and how our account may differ from the upstream's.
EXACT: dict[str, tuple[Act, list[Json], Json]] = {
    "an answer": (whole, [], {}),
    "a stream": (streamed, [], {}),
    "a stream that says its usage again and again": (streamed, [], {"usage_each": True}),
    "a tool's result": (with_a_tool, [], {}),
    "a refused attempt before it": (whole, [{"fault": "status", "status": 500, **ONCE}], {}),
    "the fallback's": (whole, [{"fault": "status", "status": 503, "model": "gpt-4o"}], {}),
}
ESTIMATED: dict[str, tuple[Act, list[Json], Json]] = {
    "no usage": (whole, [], {"usage": None}),
    "no usage of a stream": (streamed, [], {"usage": None, "answer": LONG}),
    "zero usage": (whole, [], {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}),
    "zero usage of a stream": (
        streamed,
        [],
        {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, "answer": LONG},
    ),
    "half the usage": (whole, [], {"usage": {"prompt_tokens": 0, "completion_tokens": 300, "total_tokens": 300}}),
    "a usage below nothing": (
        whole,
        [],
        {"usage": {"prompt_tokens": -5000, "completion_tokens": -5000, "total_tokens": -10000}},
    ),
    "a stream that is left at once": (left_after(1), [], SLOW),
    "a stream that is left": (left_after(20), [], SLOW),
    "a stream that is left late": (left_after(200), [], SLOW),
    "a stream that is cut": (streamed, [{"fault": "cut"}], {"answer": LONG}),
    "a stream that meets the deadline": (streamed, [], {"chunk_seconds": 0.05, "answer": LONG}),
    "a stream without an ending": (streamed, [], {"answer": LONG, "ending": "none"}),
    "a client that leaves": (left_before_the_answer, [HANGS], {}),
    "a run that ends in 504": (whole, [HANGS], {}),
    "an attempt that timed out": (whole, [{**HANGS, **ONCE}], {}),
    "the first piece that timed out": (streamed, [{**HANGS, **ONCE}], {}),
    "an attempt that was cut": (whole, [{"fault": "cut", **ONCE}], {"answer": LONG}),
    "an attempt of half a JSON": (whole, [{"fault": "truncated_json", **ONCE}], {"answer": LONG}),
    "an attempt without sense": (whole, [{"fault": "wrong_json", **ONCE}], {"answer": "Home."}),
    "a primary that hangs, then the fallback": (whole, [{**HANGS, "model": "gpt-4o"}], {}),
    "a tool loop whose second call hangs": (with_a_tool, [{**HANGS, "skip": 1}], {}),
}


@asynccontextmanager
async def accounted(
    service: Service, upstream: Upstream, rules: list[Json], script: Json
) -> AsyncGenerator[Callable[[], Awaitable[Json]]]:
    """Gives a function for the run's line in the log, once it has ended, and the upstream has, too."""
    upstream.plays(*rules, by_characters=True, **script)
    before = len(service.logs("run"))

    async def line() -> Json:
        await becomes(lambda: len(service.logs("run")) > before, what="the run is accounted for")
        await becomes(lambda: upstream.stats()["open"] == 0, what="the upstream has let go")
        return service.logs("run")[before]

    yield line


def spent(service: Service) -> dict[str, float]:
    """What the service has counted, by its metrics."""
    return {
        "input": service.metric("gen_ai_client_token_usage_sum", gen_ai_token_type="input"),
        "output": service.metric("gen_ai_client_token_usage_sum", gen_ai_token_type="output"),
        "usd": service.metric("agent_cost_usd_total", tenant="acme"),
        "estimated": service.metric("agent_usage_estimated_total"),
    }


def grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in before}


@pytest.mark.proves("cost.truth")
@pytest.mark.parametrize("path", EXACT)
async def test_what_is_told_is_booked_to_the_token(priced: Service, upstream: Upstream, path: str) -> None:
    act, rules, script = EXACT[path]
    before = spent(priced)
    async with client_of(priced) as client, accounted(priced, upstream, rules, script) as line:
        await act(client)
        entry = await line()
    assert (entry["input_tokens"], entry["output_tokens"]) == upstream.billed()
    assert not entry["usage_estimated"]
    counted = grown(before, spent(priced))
    assert (counted["input"], counted["output"], counted["estimated"]) == (*upstream.billed(), 0)
    assert counted["usd"] == pytest.approx(entry["cost_usd"])


@pytest.mark.proves("cost.truth")
@pytest.mark.parametrize("path", ESTIMATED)
async def test_what_is_not_told_is_estimated_and_marked(priced: Service, upstream: Upstream, path: str) -> None:
    act, rules, script = ESTIMATED[path]
    before = spent(priced)
    async with client_of(priced) as client, accounted(priced, upstream, rules, script) as line:
        await act(client)
        entry = await line()
    read, written = upstream.billed()
    assert math.isclose(entry["input_tokens"], read, rel_tol=0.25), (entry, upstream.billed())
    assert math.isclose(entry["output_tokens"], written, rel_tol=0.35, abs_tol=60), (entry, upstream.billed())
    assert entry["usage_estimated"]
    assert entry["cost_usd"] > 0
    audited = priced.logged(audit=True, run_id=entry["run_id"])
    for name in ("input_tokens", "output_tokens", "cost_usd", "usage_estimated"):
        assert audited[name] == entry[name]
    counted = grown(before, spent(priced))
    assert (counted["input"], counted["output"]) == (entry["input_tokens"], entry["output_tokens"])
    assert counted["usd"] == pytest.approx(entry["cost_usd"])
    assert counted["estimated"] >= 1


@pytest.mark.proves("cost.truth")
@pytest.mark.parametrize(
    "script",
    [{"rules": [{"fault": "status", "status": 500}]}, {"listening": False}],
    ids=["an error's status", "no connection"],
)
async def test_what_no_model_has_worked_on_costs_nothing(
    priced: Service, upstream: Upstream, script: dict[str, Any]
) -> None:
    async with client_of(priced) as client, accounted(priced, upstream, script.pop("rules", []), script) as line:
        assert (await whole(client)).status_code == 503
        entry = await line()
    assert (entry["input_tokens"], entry["output_tokens"], entry["cost_usd"]) == (0, 0, 0)
    assert not entry["usage_estimated"]


@pytest.mark.proves("cost.truth")
async def test_the_client_is_told_what_was_estimated(priced: Service, upstream: Upstream) -> None:
    async with client_of(priced) as client:
        told = (await whole(client)).json()["usage"]
        upstream.plays(usage=None)
        untold = (await whole(client)).json()["usage"]
        chat = {"model": "any", "messages": [{"role": "user", "content": QUESTION}]}
        as_openai_has_it = (await client.post("/v1/chat/completions", json=chat)).json()["usage"]
    assert (told["estimated"], untold["estimated"], as_openai_has_it["estimated"]) == (False, True, True)
    assert untold["input_tokens"] == as_openai_has_it["prompt_tokens"] > 0
    assert untold["cost_usd"] > 0


@pytest.mark.proves("cost.truth")
@pytest.mark.proves("cost.spend")
async def test_each_model_is_charged_what_it_took_itself(priced: Service, upstream: Upstream) -> None:
    """The fallback's answer does not pay for the primary that was asked before."""
    before = {name: priced.metric("agent_cost_usd_total", model=name) for name in (MODEL, "openai-chat:gpt-4o-mini")}
    async with (
        client_of(priced) as client,
        accounted(priced, upstream, [{"fault": "wrong_json", "model": "gpt-4o"}], {}) as line,
    ):
        usage = (await whole(client)).json()["usage"]
        await line()
    cost = {name: priced.metric("agent_cost_usd_total", model=name) - seen for name, seen in before.items()}
    assert cost[MODEL] > cost["openai-chat:gpt-4o-mini"] > 0
    assert usage["cost_usd"] == pytest.approx(sum(cost.values()))


@pytest.mark.proves("cost.truth")
async def test_an_unknown_price_is_said_before_and_after(start_service: StartService) -> None:
    """The budget in dollars does not see such a model: nobody shall find that out from a bill."""
    service = start_service()  # its models have names that no price list knows
    warning = service.logged("price_unknown")
    assert (warning["model"], warning["level"]) == ("openai-chat:primary", "warning")
    assert "BUDGET__TOKENS_PER_DAY" in warning["meaning"]
    async with client_of(service) as client:
        usage = (await whole(client)).json()["usage"]
    assert usage["cost_usd"] is None
    assert service.metric("agent_cost_unknown_total", model="openai-chat:primary") == 1


@pytest.mark.proves("cost.truth")
@pytest.mark.proves("cost.budgets")
@pytest.mark.parametrize(
    "path", ["a stream that is left", "a run that ends in 504", "no usage", "a stream that is cut"]
)
async def test_a_days_budget_sees_what_nobody_told(start_service: StartService, upstream: Upstream, path: str) -> None:
    """A tenant that leaves its streams has its budget spent like any other."""
    act, rules, script = ESTIMATED[path]
    service = start_service(
        BUDGET__TOKENS_PER_DAY=2_000,
        GUARD__ATTEMPTS=1,
        GUARD__TIMEOUT_SECONDS=0.5,
        GUARD__BREAKER_MINIMUM_CALLS=1_000_000,
    )
    upstream.plays(*rules, by_characters=True, **script)
    async with client_of(service, KEY) as client:
        runs = 0
        async with asyncio.timeout(60):
            while not service.metric("requests_rejected_total", reason="budget-exceeded"):
                await act(client)
                runs += 1
                await becomes(lambda: len(service.logs("run")) == runs, what="the run is over")  # noqa: B023
    a_run = sum(upstream.billed()) / (runs - 1)
    assert 2_000 * 0.7 < sum(upstream.billed()) < (2_000 + a_run) * 1.4, f"{runs} runs"
