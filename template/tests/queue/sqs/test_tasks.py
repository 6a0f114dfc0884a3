"""Tasks on Lambda: a table keeps them, SQS delivers them, and each is done once, even when functions die."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conftest import KEY, OTHER_KEY
from support.aws import Aws
from support.functions import StartFunction, asked
from support.pollers import ATTEMPTS, Mapping
from support.processes import COMMAND, Upstream, command, environment
from support.runtime import Function, event_of
from support.waiting import eventually

Json = dict[str, Any]
CALL = 'call convert_units {"value": 12, "source": "km", "target": "miles"}'


def submitted(api: Function, text: str, expect: int = 202, **more: Any) -> Json:
    answer = asked(api, "POST", "/v1/tasks", json.dumps({"input": text, **more}).encode()).result
    assert answer["statusCode"] == expect, answer
    view: Json = json.loads(answer["body"])
    return view


def task(api: Function, task_id: str) -> Json:
    answer = asked(api, "GET", f"/v1/tasks/{task_id}").result
    assert answer["statusCode"] == 200, answer
    view: Json = json.loads(answer["body"])
    return view


def dead_letter(api: Function, worker: Function, mapping: Mapping, upstream: Upstream, task_id: str) -> None:
    """A task whose model has failed in every attempt, and fails on."""
    submitted(api, "hello", id=task_id)
    upstream.plays({"fault": "status", "status": 503})
    mapping.drain(worker)


@pytest.mark.proves("pattern.queue")
def test_a_task_is_stored_at_once_and_done_by_the_worker(api: Function, worker: Function, mapping: Mapping) -> None:
    answer = asked(api, "POST", "/v1/tasks", b'{"input": "hello", "id": "first"}').result
    assert answer["statusCode"] == 202
    assert {name.lower(): value for name, value in answer["headers"].items()}["location"] == "/v1/tasks/first"
    assert task(api, "first")["status"] == "queued"
    mapping.drain(worker)
    done = task(api, "first")
    assert (done["status"], done["result"]["output"]) == ("completed", "You said: hello")
    [line] = eventually(lambda: worker.logs("task")[-1:], what="the task's line")
    assert line["outcome"] == "completed"


def test_under_a_named_stage_location_leads_back_through_it(api: Function) -> None:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    event = event_of("POST", "/prod/v1/tasks", b'{"input": "hello", "id": "staged"}', headers)
    event["requestContext"]["stage"] = "prod"
    answer = api.invoke(event).result
    assert answer["statusCode"] == 202, answer
    assert {name.lower(): value for name, value in answer["headers"].items()}["location"] == "/prod/v1/tasks/staged"


@pytest.mark.proves("reliability.idempotency")
def test_submitted_twice_it_is_one_task_and_with_another_body_a_409(
    api: Function, worker: Function, mapping: Mapping, upstream: Upstream
) -> None:
    submitted(api, "hello", id="same")
    submitted(api, "hello", id="same")
    mapping.drain(worker)
    submitted(api, "hello", id="same")
    mapping.drain(worker)
    assert upstream.attempts() == 1
    assert submitted(api, "something else", 409, id="same")["type"] == "urn:problem:conflict"


@pytest.mark.proves("pattern.queue")
def test_of_ten_messages_only_the_three_that_failed_are_given_back(
    api: Function, worker: Function, mapping: Mapping, upstream: Upstream
) -> None:
    for number in range(10):
        submitted(api, f"{'bad' if number < 3 else 'good'} {number}", id=f"task-{number}")
    upstream.plays({"fault": "status", "status": 503, "asked": "bad"})
    records = mapping.receive()
    assert len(records) == 10
    given_back = mapping.settle(records, worker.invoke({"Records": records}))
    assert sorted(json.loads(record["body"])["id"] for record in given_back) == ["task-0", "task-1", "task-2"]
    statuses = [task(api, f"task-{number}")["status"] for number in range(10)]
    assert statuses == ["queued"] * 3 + ["completed"] * 7
    upstream.plays()
    mapping.drain(worker)
    assert {task(api, f"task-{number}")["status"] for number in range(10)} == {"completed"}


@pytest.mark.proves("security.input")
def test_an_invalid_message_blocks_no_other_and_becomes_a_dead_letter(
    api: Function, worker: Function, mapping: Mapping
) -> None:
    for poison in ("no json", "[]", '{"tenant": "acme"}', "null"):
        mapping.send(poison)
    submitted(api, "hello", id="beside")
    mapping.drain(worker)
    assert task(api, "beside")["status"] == "completed"
    assert mapping.dead() == 4


def test_a_message_of_a_task_that_is_not_there_is_dropped(worker: Function, mapping: Mapping) -> None:
    mapping.send('{"tenant": "acme", "id": "gone"}')
    mapping.drain(worker)
    assert mapping.dead() == 0


@pytest.mark.proves("reliability.idempotency")
def test_a_message_delivered_to_two_functions_at_once_is_one_model_call(
    api: Function, mapping: Mapping, start_function: StartFunction, upstream: Upstream
) -> None:
    submitted(api, "hello", id="twice")
    upstream.plays(latency=1.0)
    records = mapping.receive()
    workers = [start_function("worker", **mapping.settings) for _ in range(2)]
    invocations = [worker.api.send({"Records": records}, 60) for worker in workers]
    results = [worker.wait(sent).result for worker, sent in zip(workers, invocations, strict=True)]
    assert sorted(len(result["batchItemFailures"]) for result in results) == [0, 1]
    assert upstream.attempts() == 1
    assert task(api, "twice")["status"] == "completed"


@pytest.mark.proves("pattern.queue")
def test_a_function_that_is_killed_loses_no_task_and_no_answer_that_was_paid(
    api: Function, mapping: Mapping, start_function: StartFunction, upstream: Upstream
) -> None:
    submitted(api, CALL, id="killed")
    upstream.plays({"fault": "hang", "skip": 1})
    first = start_function("worker", **mapping.settings)
    first.api.send({"Records": mapping.receive()}, 60)
    eventually(lambda: upstream.attempts() == 2, within=30, what="the second model call")
    first.kill()
    upstream.plays()
    upstream.forget()
    mapping.expire_leases()
    mapping.drain(start_function("worker", **mapping.settings))
    done = task(api, "killed")
    assert (done["status"], done["result"]["output"]) == ("completed", "The tool said: 7.46")
    assert done["takeovers"] == 1
    assert upstream.attempts() == 1  # the call that was cut off; the one before it is not repeated
    assert done["result"]["usage"]["input_tokens"] == 200


@pytest.mark.proves("cost.budgets")
def test_what_a_delivery_has_booked_the_next_one_does_not_book_again(
    api: Function, worker: Function, mapping: Mapping, upstream: Upstream
) -> None:
    submitted(api, CALL, id="booked")
    upstream.plays({"fault": "status", "status": 503, "skip": 1, "times": 3})
    mapping.drain(worker)
    done = task(api, "booked")
    assert done["status"] == "completed"
    assert done["result"]["usage"]["input_tokens"] == 200
    assert mapping.tokens_booked("acme") == 240  # two answers, of 100 tokens in and 20 out each


@pytest.mark.proves("reliability.timeouts")
def test_a_task_that_outlasts_its_invocation_goes_on_in_the_next(
    api: Function, worker: Function, mapping: Mapping, upstream: Upstream
) -> None:
    submitted(api, CALL, id="long")
    upstream.plays({"fault": "hang", "skip": 1, "times": 1})
    records = mapping.receive()
    given_back = mapping.settle(records, worker.invoke({"Records": records}, 6))
    assert len(given_back) == 1
    assert task(api, "long")["status"] == "queued"
    mapping.drain(worker)
    assert task(api, "long")["result"]["output"] == "The tool said: 7.46"
    assert upstream.attempts() == 3


@pytest.mark.proves("pattern.queue")
def test_a_task_that_fails_each_time_is_dead_and_its_message_a_dead_letter_until_it_is_redriven(
    api: Function, worker: Function, mapping: Mapping, upstream: Upstream
) -> None:
    dead_letter(api, worker, mapping, upstream, "dead")
    dead = task(api, "dead")
    assert (dead["status"], dead["error"]["type"]) == ("dead", "urn:problem:model-unavailable")
    assert mapping.dead() == 1
    upstream.plays()
    mapping.redrive()
    mapping.drain(worker)
    assert task(api, "dead")["status"] == "completed"
    assert mapping.dead() == 0


def test_a_late_copy_of_a_dead_tasks_message_does_not_revive_the_task(
    api: Function, worker: Function, mapping: Mapping, upstream: Upstream
) -> None:
    submitted(api, "hello", id="over")
    records = mapping.receive()
    upstream.plays({"fault": "status", "status": 503})
    mapping.settle(records, worker.invoke({"Records": records}))
    mapping.drain(worker)
    upstream.plays()
    copy = {**records[0], "attributes": {**records[0]["attributes"], "ApproximateReceiveCount": "1"}}
    assert worker.invoke({"Records": [copy]}).result == {"batchItemFailures": []}
    assert task(api, "over")["status"] == "dead"


def test_a_dead_task_is_retried_by_command_also_when_its_message_is_lost(
    api: Function, worker: Function, mapping: Mapping, upstream: Upstream, tmp_path: Path
) -> None:
    dead_letter(api, worker, mapping, upstream, "again")
    upstream.plays()
    for _ in range(2):
        mapping.lose()
        done = command("dead", "retry", "again", "--tenant", "acme", folder=tmp_path, **mapping.settings)
        assert done.returncode == 0, done.stderr
    mapping.drain(worker)
    assert task(api, "again")["status"] == "completed"
    refused = command("dead", "retry", "again", "--tenant", "acme", folder=tmp_path, **mapping.settings)
    assert (refused.returncode, "only failed and dead" in refused.stderr) == (1, True)


def test_dead_retry_all_retries_each_once_when_there_are_more_than_a_page_has(
    api: Function, worker: Function, mapping: Mapping, upstream: Upstream, tmp_path: Path
) -> None:
    dead_letter(api, worker, mapping, upstream, "dead")
    copies = [f"copy-{number}" for number in range(100)]
    mapping.copy("dead", copies)
    done = subprocess.run(  # more than a hundred retries take their time on a busy machine
        [COMMAND, "dead", "retry", "--all"],
        cwd=tmp_path,
        env=environment(**mapping.settings),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(json.loads(line)["id"] for line in done.stdout.splitlines()) == sorted(["dead", *copies])


def test_a_new_task_with_the_id_of_a_forgotten_one_gets_an_answer_of_its_own(
    api: Function, worker: Function, mapping: Mapping, upstream: Upstream
) -> None:
    for text in ("what was yesterday?", "what is today?"):
        submitted(api, text, id="daily")
        mapping.drain(worker)
        assert task(api, "daily")["result"]["output"] == f"You said: {text}"
        mapping.forget()
    assert upstream.attempts() == 2


def test_a_task_whose_functions_all_died_is_dead(
    api: Function, mapping: Mapping, start_function: StartFunction, upstream: Upstream
) -> None:
    submitted(api, "hello", id="deadly")
    for _ in range(ATTEMPTS):
        killed(mapping, start_function, upstream)
    assert task(api, "deadly")["error"]["type"] == "urn:problem:worker-lost"
    upstream.forget()
    mapping.drain(start_function("worker", **mapping.settings))
    view = task(api, "deadly")
    assert (view["status"], view["error"]["type"]) == ("dead", "urn:problem:worker-lost")
    assert (upstream.attempts(), mapping.dead()) == (0, 1)


@pytest.mark.proves("pattern.queue")
def test_attempts_count_from_the_last_one_that_made_progress(
    api: Function, mapping: Mapping, start_function: StartFunction, upstream: Upstream
) -> None:
    submitted(api, CALL, id="long")
    for _ in range(ATTEMPTS - 1):
        killed(mapping, start_function, upstream)
    killed(mapping, start_function, upstream, answers=1)
    for _ in range(ATTEMPTS - 1):
        killed(mapping, start_function, upstream)
    assert task(api, "long")["status"] == "running"
    upstream.plays()
    mapping.drain(start_function("worker", **mapping.settings))
    assert (task(api, "long")["status"], mapping.dead()) == ("completed", 0)


@pytest.mark.proves("pattern.queue")
def test_a_task_that_outlasts_every_invocation_but_makes_progress_is_not_dead(
    api: Function, worker: Function, mapping: Mapping, upstream: Upstream
) -> None:
    submitted(api, CALL, id="slow")
    for number in range(2 * ATTEMPTS - 1):
        upstream.forget()
        upstream.plays({"fault": "hang", "skip": int(number == ATTEMPTS - 1)})
        while not hanging_calls(upstream):
            records = eventually(mapping.receive, within=20, what="it is delivered")
            mapping.settle(records, worker.invoke({"Records": records}, 4))
        assert task(api, "slow")["status"] == "queued"
    upstream.plays()
    mapping.drain(worker)
    assert (task(api, "slow")["status"], mapping.dead()) == ("completed", 0)


@pytest.mark.proves("pattern.queue")
def test_a_task_that_kills_its_functions_takes_no_other_of_its_batch_with_it(
    api: Function, mapping: Mapping, start_function: StartFunction, upstream: Upstream
) -> None:
    names = ["a", "b", "killer", "c", "d"]
    for name in names:
        submitted(api, name, id=name)
    killed(mapping, start_function, upstream, hanging=len(names))
    for _ in range(ATTEMPTS - 1):
        killed(mapping, start_function, upstream, asked="killer", latency=1.0)  # the others are at work meanwhile
    upstream.plays()
    mapping.drain(start_function("worker", **mapping.settings))
    assert [task(api, name)["status"] for name in names] == ["completed", "completed", "dead", "completed", "completed"]
    assert mapping.dead() == 1


def test_twenty_messages_of_a_delayed_task_are_no_chain_that_lambda_ends(
    api: Function, worker: Function, mapping: Mapping, aws: Aws
) -> None:
    submitted(api, "hello", id="later")
    mapping.postpone(5 * 3600)
    records = mapping.receive()
    for _ in range(20):
        assert mapping.settle(records, worker.invoke({"Records": records})) == []
    assert len(aws.traces()) >= 21
    assert set(aws.traces()[-21:]) == {""}


def test_sqs_is_told_the_tenant_of_each_message_and_shares_its_deliveries_fairly(
    api: Function, worker: Function, mapping: Mapping
) -> None:
    submitted(api, "hello", id="first")
    mapping.postpone(2.0)
    for _ in range(2):  # as submitted, and as sent again because its time has not come
        records = mapping.receive(wait=5)
        assert [record["attributes"]["MessageGroupId"] for record in records] == ["acme"]
        mapping.settle(records, worker.invoke({"Records": records}))


def test_a_permanent_failure_is_not_tried_again(
    api: Function, worker: Function, mapping: Mapping, upstream: Upstream
) -> None:
    submitted(api, "hello", id="refused")
    upstream.plays({"fault": "status", "status": 400})
    mapping.drain(worker)
    assert task(api, "refused")["status"] == "failed"
    assert (upstream.attempts(), mapping.dead()) == (1, 0)


def test_a_task_cancelled_while_it_runs_is_broken_off(
    api: Function, worker: Function, mapping: Mapping, upstream: Upstream
) -> None:
    submitted(api, "hello", id="cancelled")
    upstream.plays({"fault": "hang"})
    records = mapping.receive()
    running = worker.api.send({"Records": records}, 60)
    eventually(lambda: upstream.attempts() == 1, within=30, what="it is begun")
    answer = asked(api, "DELETE", "/v1/tasks/cancelled").result
    assert json.loads(answer["body"])["status"] == "cancelled"
    assert worker.wait(running).result == {"batchItemFailures": []}
    assert task(api, "cancelled")["status"] == "cancelled"
    assert asked(api, "DELETE", "/v1/tasks/cancelled").result["statusCode"] == 409


def test_a_delayed_task_is_not_begun_before_its_time(api: Function, worker: Function, mapping: Mapping) -> None:
    submitted(api, "hello", id="later", delay_seconds=3)
    assert mapping.receive() == []
    assert task(api, "later")["status"] == "queued"
    mapping.drain(worker)
    assert task(api, "later")["status"] == "completed"


def test_a_message_that_comes_before_its_tasks_time_is_sent_again(
    api: Function, worker: Function, mapping: Mapping, upstream: Upstream
) -> None:
    submitted(api, "hello", id="early")
    mapping.postpone(2.0)  # as where the delay is longer than SQS' longest
    records = mapping.receive()
    assert mapping.settle(records, worker.invoke({"Records": records})) == []
    assert (upstream.attempts(), mapping.left()) == (0, 1)
    mapping.drain(worker)
    assert task(api, "early")["status"] == "completed"


def test_a_second_submission_sends_a_lost_message_again(api: Function, worker: Function, mapping: Mapping) -> None:
    submitted(api, "hello", id="untold")
    mapping.lose()
    submitted(api, "hello", id="untold")
    mapping.drain(worker)
    assert task(api, "untold")["status"] == "completed"


@pytest.mark.proves("security.input")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"[]", 422),
        (b'{"input": ""}', 422),
        (b'{"input": "x", "unknown": 1}', 422),
        (b'{"input": "x", "id": "../x"}', 422),
        (b'{"input": "x", "urgency": "batch"}', 422),
        (b'{"input": "x", "priority": 1}', 422),
    ],
)
def test_an_invalid_request_stores_nothing(body: bytes, status: int, api: Function, mapping: Mapping) -> None:
    answer = asked(api, "POST", "/v1/tasks", body).result
    assert answer["statusCode"] == status, answer
    assert mapping.left() == 0
    assert json.loads(asked(api, "GET", "/v1/tasks").result["body"])["tasks"] == []


@pytest.mark.proves("scale.backpressure")
def test_a_full_queue_takes_no_more(start_function: StartFunction, mapping: Mapping) -> None:
    api = start_function("api", **{**mapping.settings, "QUEUE__MAX_DEPTH": 2})
    for number in range(2):
        submitted(api, "hello", id=f"task-{number}")
    refused = asked(api, "POST", "/v1/tasks", b'{"input": "hello", "id": "one-more"}').result
    assert refused["statusCode"] == 503, refused
    assert {name.lower() for name in refused["headers"]} >= {"retry-after"}
    assert asked(api, "GET", "/v1/tasks/one-more").result["statusCode"] == 404
    assert mapping.left() == 2


@pytest.mark.proves("pattern.cqrs")
def test_lists_are_of_the_tenant_alone_newest_first_and_go_on_at_a_cursor(api: Function) -> None:
    for number in range(5):
        submitted(api, "hello", id=f"task-{number}")
    first = asked_page(api, "limit=2")
    assert [view["id"] for view in first["tasks"]] == ["task-4", "task-3"]
    rest = asked_page(api, f"limit=10&cursor={first['next_cursor']}")
    assert [view["id"] for view in rest["tasks"]] == ["task-2", "task-1", "task-0"]
    assert asked_page(api, "status=completed")["tasks"] == []
    assert asked_page(api, "", key=OTHER_KEY)["tasks"] == []
    assert asked(api, "GET", "/v1/tasks/task-0", key=OTHER_KEY).result["statusCode"] == 404
    assert asked(api, "GET", "/v1/tasks/unknown").result["statusCode"] == 404


def hanging_calls(upstream: Upstream) -> int:
    return int(upstream.stats()["outcomes"].get("hang", 0))


def killed(
    mapping: Mapping,
    start_function: StartFunction,
    upstream: Upstream,
    answers: int = 0,
    hanging: int = 1,
    asked: str | None = None,
    latency: float = 0.0,
) -> None:
    """Kills a function while so many of its calls wait for the model, which has given so many answers before."""
    upstream.forget()
    upstream.plays({"fault": "hang", "skip": answers, "asked": asked}, latency=latency)
    worker = start_function("worker", **mapping.settings)

    def over() -> bool:
        return running.done.is_set() or hanging_calls(upstream) >= hanging

    while hanging_calls(upstream) < hanging:  # a function may send a message afresh before it begins
        records = eventually(mapping.receive, within=20, what="it is delivered")
        running = worker.api.send({"Records": records}, 60)
        eventually(over, within=30, what="it is begun")
        if running.done.is_set():
            mapping.settle(records, running)
    worker.kill()
    mapping.expire_leases()


def asked_page(api: Function, query: str, key: str = KEY) -> Json:
    answer = asked(api, "GET", f"/v1/tasks?{query}", key=key).result
    assert answer["statusCode"] == 200, answer
    page: Json = json.loads(answer["body"])
    return page
