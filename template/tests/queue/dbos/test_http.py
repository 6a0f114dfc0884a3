"""`/v1/tasks` as clients see it, with a worker behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from conftest import KEY, OTHER_KEY, StartService, client_of, settings_for
from support.fleet import TWO_CALLS, Fleet
from support.processes import Json, Service, Upstream, call, command
from support.waiting import becomes

# The database makes no difference here; test_tasks.py has both.
pytestmark = pytest.mark.parametrize("shared_fleet", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def gateway(
    shared_fleet: Fleet, shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    settings = settings_for(
        shared_upstream, QUEUE__DATABASE_URL=shared_fleet.url, QUEUE__MAX_DEPTH=40, STREAM__COMMENT_SECONDS=0.5
    )
    gateway = Service(tmp_path_factory.mktemp("gateway"), **settings).wait_ready()
    yield gateway
    assert gateway.stop() == 0, gateway.output


@pytest.fixture
async def tasks(gateway: Service, queue: Fleet) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(gateway) as client:
        yield client


async def submitted(tasks: httpx2.AsyncClient, **fields: object) -> str:
    response = await tasks.post("/v1/tasks", json={"input": "hello", **fields})
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


async def ended(tasks: httpx2.AsyncClient, task: str) -> Json:
    async with asyncio.timeout(20):
        while True:
            view: Json = (await tasks.get(f"/v1/tasks/{task}")).json()
            if view["status"] not in ("queued", "running"):
                return view
            await asyncio.sleep(0.05)


def test_smoke_waits_for_a_task_to_be_done(gateway: Service, queue: Fleet, tmp_path: Path) -> None:
    done = command("smoke", gateway.url, "--json", folder=tmp_path, SMOKE_KEY=KEY)
    assert json.loads(done.stdout)["steps"][-1]["name"] == "task", done.stdout
    assert done.returncode == 0, done.stdout


@pytest.mark.proves("pattern.queue")
async def test_a_task_is_accepted_at_once_and_answered_at_its_location(tasks: httpx2.AsyncClient) -> None:
    response = await tasks.post("/v1/tasks", json={"input": TWO_CALLS.format(1)})
    assert response.status_code == 202
    assert response.json()["status"] == "queued"
    assert response.headers["location"] == f"/v1/tasks/{response.json()['id']}"
    done = await ended(tasks, response.json()["id"])
    assert done["status"] == "completed"
    assert done["result"]["output"].startswith("The tool said")


async def test_an_unknown_task_is_not_found(tasks: httpx2.AsyncClient) -> None:
    for method, path in (("GET", "nothing"), ("DELETE", "nothing"), ("GET", "nothing/events")):
        response = await tasks.request(method, f"/v1/tasks/{path}")
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"


async def test_another_tenants_task_is_not_found(tasks: httpx2.AsyncClient, gateway: Service) -> None:
    task = await submitted(tasks)
    async with client_of(gateway, OTHER_KEY) as other:
        for method, path in (("GET", task), ("DELETE", task), ("GET", f"{task}/events")):
            assert (await other.request(method, f"/v1/tasks/{path}")).status_code == 404
        listed = (await other.get("/v1/tasks")).json()["tasks"]
        assert task not in [view["id"] for view in listed]
    assert (await ended(tasks, task))["status"] == "completed"


@pytest.mark.proves("security.input")
@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"input": ""},
        {"input": 7},
        {"input": "x", "id": "not/an id"},
        {"input": "x", "priority": 0},
        {"input": "x", "delay_seconds": -1},
        {"input": "x", "deadline_seconds": 0},
        {"input": "x", "urgency": "yesterday"},
        {"input": "x", "metadata": {"a": ["list"]}},
        {"input": "x", "unknown": 1},
        {"input": "x" * 40_000},
    ],
    ids=lambda wrong: str(wrong)[:40],
)
async def test_a_malformed_task_is_refused_and_not_stored(tasks: httpx2.AsyncClient, wrong: Json) -> None:
    before = (await tasks.get("/v1/tasks", params={"limit": 1})).json()["tasks"]
    response = await tasks.post("/v1/tasks", json=wrong)
    assert response.status_code == 422, response.text
    assert (await tasks.get("/v1/tasks", params={"limit": 1})).json()["tasks"] == before


@pytest.mark.proves("security.input")
@pytest.mark.parametrize("cursor", ["x", "1", "1-", "-1-1", "99999999999999-1", "1-9999999", "' OR 1=1"])
async def test_a_cursor_of_ones_own_making_is_refused(tasks: httpx2.AsyncClient, cursor: str) -> None:
    assert (await tasks.get("/v1/tasks", params={"cursor": cursor})).status_code in (200, 422)


async def test_a_waiting_task_is_cancelled(tasks: httpx2.AsyncClient) -> None:
    task = await submitted(tasks, delay_seconds=600)
    response = await tasks.delete(f"/v1/tasks/{task}")
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")


async def test_cancelling_a_finished_task_is_a_conflict_that_says_its_state(tasks: httpx2.AsyncClient) -> None:
    task = await submitted(tasks)
    await ended(tasks, task)
    response = await tasks.delete(f"/v1/tasks/{task}")
    assert response.status_code == 409
    assert "completed" in response.json()["detail"]


@pytest.mark.proves("reliability.idempotency")
async def test_one_key_is_one_task(tasks: httpx2.AsyncClient, queue: Fleet) -> None:
    key = {"Idempotency-Key": "order-1"}
    answers = await asyncio.gather(*(tasks.post("/v1/tasks", json={"input": "once"}, headers=key) for _ in range(20)))
    assert {(answer.status_code, answer.json()["id"]) for answer in answers} == {(202, "order-1")}
    assert [answer.headers.get("idempotency-replayed") for answer in answers].count("true") == 19
    await ended(tasks, "order-1")
    assert queue.texts() == ["once"]
    other = await tasks.post("/v1/tasks", json={"input": "twice"}, headers=key)
    assert other.status_code == 409
    both = await tasks.post("/v1/tasks", json={"input": "once", "id": "order-2"}, headers=key)
    assert both.status_code == 422


@pytest.mark.proves("pattern.cqrs")
async def test_the_list_has_pages_and_is_narrowed_by_status(tasks: httpx2.AsyncClient) -> None:
    sent = [await submitted(tasks, delay_seconds=600) for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while len(seen) < 5:
        query = {"status": "queued", "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await tasks.get("/v1/tasks", params=query)).json()
        seen += [view["id"] for view in page["tasks"]]
        cursor = page["next_cursor"]
    assert seen[:5] == sent[::-1]
    for task in sent:
        await tasks.delete(f"/v1/tasks/{task}")
    assert (await tasks.get("/v1/tasks", params={"status": "queued"})).json()["tasks"] == []


async def test_events_tell_each_change_until_the_end(tasks: httpx2.AsyncClient, queue: Fleet) -> None:
    queue.upstream.plays(latency=1.5)
    task = await submitted(tasks, delay_seconds=1)
    async with tasks.stream("GET", f"/v1/tasks/{task}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert (response.headers["x-accel-buffering"], response.headers["cache-control"]) == ("no", "no-store")
        lines = [line async for line in response.aiter_lines()]
    told = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert [view["status"] for view in told] == ["queued", "running", "completed"]
    assert told[-1]["result"]["output"] == "You said: hello"
    assert lines.count(": no news") >= 2, "proxies cut silent streams"


@pytest.mark.parametrize("field", [{"delay_seconds": False}, {"priority": "5"}, {"deadline_seconds": "9"}], ids=str)
async def test_a_submission_of_other_types_is_refused(tasks: httpx2.AsyncClient, field: dict[str, object]) -> None:
    response = await tasks.post("/v1/tasks", json={"input": "hello", **field})
    assert response.status_code == 422
    assert next(iter(field)) in response.json()["detail"]


@pytest.mark.proves("scale.backpressure")
async def test_a_full_queue_answers_503(tasks: httpx2.AsyncClient) -> None:
    answers = [await tasks.post("/v1/tasks", json={"input": "x", "delay_seconds": 600}) for _ in range(41)]
    refused = answers[-1]
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    for answer in answers:
        if answer.status_code == 202:
            await tasks.delete(answer.headers["location"])


@pytest.mark.proves("cost.batching")
async def test_a_model_without_a_batch_api_refuses_tasks_that_want_it(tasks: httpx2.AsyncClient) -> None:
    response = await tasks.post("/v1/tasks", json={"input": "hello", "urgency": "batch", "id": "refused"})
    assert response.status_code == 422
    assert "The model openai-chat:primary has no batch API" in response.json()["detail"]
    assert (await tasks.get("/v1/tasks/refused")).status_code == 404
    response = await tasks.post("/v1/tasks", json={"input": "hello", "urgency": "batch", "conversation_id": "one"})
    assert response.status_code == 422


@pytest.mark.proves("security.audit")
async def test_no_task_is_stored_while_a_required_audit_trail_cannot_be_written(
    queue: Fleet, start_service: StartService, tmp_path: Path
) -> None:
    trail = {"QUEUE__DATABASE_URL": queue.url, "AUDIT_FILE": "/dev/full", "AUDIT__REQUIRED": True}
    gateway = start_service(**trail)
    async with client_of(gateway) as tasks:
        await submitted(tasks)  # the first one cannot know yet
        await becomes(lambda: call("GET", f"{gateway.url}/readyz")[0] == 503, what="it is not ready")
        refused = await tasks.post("/v1/tasks", json={"input": "hello", "id": "refused"})
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:problem:audit-unavailable")
        assert (await tasks.get("/v1/tasks/refused")).status_code == 404
    told = command("submit", "hello", folder=tmp_path, **trail)
    assert (told.returncode, "audit trail" in told.stderr) == (1, True), told.stderr
