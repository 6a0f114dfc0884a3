"""Servers that are mostly compatible with OpenAI's Chat Completions, and how they bend the protocol."""

from __future__ import annotations

import json

import httpx2
import pytest

from support.figures import Row
from support.processes import Json, Service, Upstream
from support.upstream_oddities import ODDITIES
from support.waiting import becomes

pytestmark = pytest.mark.chaos

QUESTION = "hello \U0001f600"
CALL = 'call convert_units {"value": 3, "source": "km", "target": "miles"}'
UNEXPECTED = ("Traceback (most recent", "unexpected")

ANSWERED = [name for name, odd in ODDITIES.items() if odd.answered]
NOT_ANSWERED = [name for name, odd in ODDITIES.items() if not odd.answered]
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


async def ask(client: httpx2.AsyncClient, question: str, stream: bool) -> tuple[int, Json]:
    """The status and the answer, or those of a stream's last event."""
    response = await client.post("/v1/runs", json={"input": question, "stream": stream})
    if not stream or response.status_code != 200:
        return response.status_code, response.json()
    events = [dict(line.split(": ", 1) for line in event.split("\n")) for event in response.text.strip().split("\n\n")]
    last = json.loads(events[-1]["data"])
    if events[-1]["event"] == "error":
        return last["status"], last
    streamed = "".join(json.loads(event["data"])["text"] for event in events if event["event"] == "delta")
    assert streamed == last["output"]
    return 200, last


async def line_of_the_run(service: Service, before: int) -> Json:
    """The run's line in the log, of which the first `before` lines are other runs'."""

    def runs() -> list[Json]:
        return [told for line in service.lines[before:] if (told := json.loads(line)).get("event") == "run"]

    await becomes(lambda: bool(runs()), what="the run is accounted for")
    assert not [line for line in service.lines[before:] if any(word in line for word in UNEXPECTED)]
    return runs()[0]


@pytest.mark.proves("reliability.upstreams")
@BOTH
@pytest.mark.parametrize("oddity", ANSWERED)
async def test_answered(
    oddity: str, stream: bool, client: httpx2.AsyncClient, service: Service, upstream: Upstream, row: Row
) -> None:
    """The client gets the answer, and what was paid is booked once."""
    upstream.plays({"fault": "odd", "oddity": oddity, "path": "/v1/chat/completions"})
    before, tools = len(service.lines), ODDITIES[oddity].tools
    status, answer = await ask(client, CALL if tools else QUESTION, stream)
    line = await line_of_the_run(service, before)
    row.shows(status=status, booked=f"{line['input_tokens']} + {line['output_tokens']} tokens")
    assert status == 200, answer
    if tools:
        messages = upstream.stats()["requests"][-1]["body"]["messages"]
        assert answer["output"].startswith("The tool said: ")
        assert [message["role"] for message in messages].count("tool") == tools
    else:
        assert answer["output"] == f"You said: {QUESTION}"
    assert upstream.attempts() == 1 + bool(tools)
    assert (line["input_tokens"], line["output_tokens"]) == upstream.billed()


@pytest.mark.proves("reliability.upstreams")
@BOTH
@pytest.mark.parametrize("oddity", NOT_ANSWERED)
async def test_not_answered(
    oddity: str, stream: bool, client: httpx2.AsyncClient, service: Service, upstream: Upstream, row: Row
) -> None:
    """502 or 503 in words, or an `error` event; an attempt that the server refused costs nothing, another its
    estimate."""
    upstream.plays({"fault": "odd", "oddity": oddity})
    before = len(service.lines)
    status, problem = await ask(client, QUESTION, stream)
    line = await line_of_the_run(service, before)
    row.shows(status=status, booked=f"{line['input_tokens']} + {line['output_tokens']} tokens")
    assert status in (502, 503), problem
    assert problem["detail"]
    assert line["error"]  # an operator sees why
    if ODDITIES[oddity].refuses:
        assert (line["input_tokens"], line["output_tokens"]) == (0, 0)
    else:
        assert line["usage_estimated"]
        assert 0 < line["input_tokens"] < 2_000 * upstream.attempts()
