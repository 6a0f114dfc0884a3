"""The same promises of a batch where the provider is Anthropic: Message Batches, whose requests are Messages."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from support.fleet import HOLDS_OFF, TWO_CALLS, Fleet
from support.upstream_answers import CALL, text_of
from support.waiting import becomes

Json = dict[str, Any]
MODEL = "anthropic:claude-haiku-4-5"
PRICE = 100 * 1e-6 + 20 * 5e-6  # US dollars of the pretended usage, when it is not in a batch
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class MessageBatches:
    """Anthropic's endpoint on loopback, in a thread of the tests. Batches end when looked at, unless `holds`."""

    def __init__(self) -> None:
        self.holds = False
        self.looks = 0
        self.batches: dict[str, list[Json]] = {}
        self.keys: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def shown(self, name: str) -> Json:
        ended = not self.holds
        counts = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
        counts["succeeded" if ended else "processing"] = len(self.batches[name])
        times = {"created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-02T00:00:00Z"}
        nothing = dict.fromkeys(("archived_at", "cancel_initiated_at", "ended_at"))
        state = {"processing_status": "ended" if ended else "in_progress", "request_counts": counts}
        results = {"results_url": f"{self.url}/v1/messages/batches/{name}/results" if ended else None}
        return {"id": name, "type": "message_batch", **nothing, **times, **state, **results}


def result_of(request: Json) -> Json:
    """A line of the results: a tool call, what the tool said, an error where that is asked for, or an echo."""
    messages = request["params"]["messages"]
    text = text_of(messages[0]["content"])
    if text == "bad":
        error = {"type": "invalid_request_error", "message": "scripted"}
        result: Json = {"type": "errored", "error": {"type": "error", "error": error, "request_id": "1"}}
    else:
        said = [part for part in messages[-1]["content"] if part["type"] == "tool_result"]
        call = CALL.search(text)
        block: Json = {"type": "text", "text": f"You said: {text}"}
        if said:
            block["text"] = f"The tool said: {text_of(said[0]['content'])}"
        elif call:
            block = {"type": "tool_use", "id": "toolu_1", "name": call[1], "input": json.loads(call[2])}
        usage = {"input_tokens": 100, "output_tokens": 20}
        stop = {"stop_reason": block["type"].replace("text", "end_turn"), "stop_sequence": None}
        kept = {"id": "msg_1", "type": "message", "role": "assistant", "model": request["params"]["model"]}
        result = {"type": "succeeded", "message": {**kept, **stop, "usage": usage, "content": [block]}}
    return {"custom_id": request["custom_id"], "result": result}


def _handler(provider: MessageBatches) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            provider.keys.add(self.headers["authorization"])
            name = f"msgbatch_{len(provider.batches)}"
            provider.batches[name] = body["requests"]
            self.give(json.dumps(provider.shown(name)))

        def do_GET(self) -> None:
            path = re.fullmatch(r"/v1/messages/batches/(\w+)(/results)?", self.path.partition("?")[0])
            assert path
            if path[2]:
                self.give("\n".join(json.dumps(result_of(request)) for request in provider.batches[path[1]]))
            else:
                provider.looks += 1
                self.give(json.dumps(provider.shown(path[1])))

        def give(self, content: str) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_: object) -> None:
            """Silent."""

    return Handler


@pytest.fixture
def provider() -> Iterator[MessageBatches]:
    provider = MessageBatches()
    yield provider
    provider.holds = False
    provider.stop()


@pytest.fixture
def workers(fleet: Fleet, provider: MessageBatches) -> Fleet:
    fleet.settings |= {"MODEL__PRIMARY": MODEL, "MODEL__BASE_URL": provider.url, "QUEUE__ATTEMPTS": 3, **HOLDS_OFF}
    fleet.settings |= {"QUEUE__BATCH_GATHER_SECONDS": 0.5, "QUEUE__BATCH_POLL_SECONDS": 0.2}
    return fleet


@pytest.mark.proves("cost.batching")
async def test_a_run_goes_through_message_batches_at_half_the_price(workers: Fleet, provider: MessageBatches) -> None:
    await asyncio.to_thread(workers.start)
    views = [await workers.submit(text, urgency="batch") for text in (TWO_CALLS.format(1), "hello", "bad")]
    called, told, refused = await workers.all_ended(views, 30)
    assert (called.status, told.status, refused.status) == ("completed", "completed", "failed")
    assert called.result
    assert told.result
    assert refused.error
    assert called.result.output.startswith("The tool said: ")
    assert "3.1" in called.result.output
    assert called.result.usage.input_tokens == 200
    assert told.result.output == "You said: hello"
    assert told.result.usage.cost_usd == pytest.approx(PRICE / 2)
    assert refused.error.type == "urn:problem:invalid-input"
    assert sum(map(len, provider.batches.values())) == 4
    assert provider.keys == {"Bearer model-key-of-the-tests"}


@pytest.mark.proves("cost.batching")
async def test_a_killed_workers_message_batch_is_fetched_by_another(workers: Fleet, provider: MessageBatches) -> None:
    provider.holds = True
    first = await asyncio.to_thread(workers.start)
    task = await workers.submit("hello", urgency="batch")
    await becomes(lambda: provider.looks, what="its batch is looked at")
    first.kill()
    await asyncio.to_thread(workers.start)
    await becomes(lambda: workers.workers[1].logs("task_taken_over"), within=30, what="another goes on")
    provider.holds = False
    done = await workers.ended(task)
    assert (done.status, done.takeovers) == ("completed", 1)
    assert len(provider.batches) == 1, "nobody pays again"
