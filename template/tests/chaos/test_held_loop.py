"""How long one request, answer or tool result holds the event loop, and so every other request."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import KEY, settings_for
from support.figures import Row
from support.hostile import requests
from support.load import Connection
from support.processes import Json, Service, Upstream

pytestmark = pytest.mark.chaos

MOST_SECONDS = 0.25
SIZE = 1_900_000  # characters of an answer; MAX_JSON_BYTES is 2 MiB
BODY = 1_000_000  # bytes of a request; LIMITS__MAX_BODY_BYTES is 1 MiB
WATCHED = Path(__file__).parent.parent / "support" / "watched.py"
RUNS, CHAT = "/v1/runs", "/v1/chat/completions"


Held = dict[str, tuple[float, int, list[str]]]


class Watched:
    """A service, and how long its event loop was held."""

    def __init__(self, upstream: Upstream, folder: Path) -> None:
        settings = settings_for(upstream, GUARD__BREAKER_MINIMUM_CALLS=1_000_000, GUARD__ATTEMPTS=1)
        settings["BUDGET__TOKENS_PER_RUN"], settings["BUDGET__TOKENS_PER_DAY"] = 10**8, 10**10
        program = (sys.executable, str(WATCHED), str(folder))
        self.service = Service(folder, program=program, **settings).wait_ready()
        self._path = folder / "holds.jsonl"

    def holds(self) -> list[Json]:
        """The times so far that the loop was held."""
        return [json.loads(line) for line in self._path.read_text().splitlines()] if self._path.exists() else []

    async def held_by(self, cases: dict[str, tuple[bytes, str]], play: Callable[[str], None] | None = None) -> Held:
        """The longest hold during each request: its seconds of CPU, the request's status, what the loop was doing."""
        times: dict[str, tuple[float, float]] = {}
        statuses: dict[str, int] = {}
        for name, (body, path) in cases.items():
            if play:
                play(name)
            began = time.time()
            connection = Connection(self.service.url)
            statuses[name] = (await connection.ask(body, KEY, path)).status
            connection.close()
            times[name] = (began, time.time())
        await asyncio.sleep(0.5)  # so that the last hold is written
        held: Held = {name: (0.0, status, []) for name, status in statuses.items()}
        for hold in self.holds():
            for name, (began, ended) in times.items():
                if hold["at"] > began and hold["at"] - hold["wall"] < ended and hold["cpu"] > held[name][0]:
                    held[name] = (hold["cpu"], statuses[name], hold["doing"])
        return held


@pytest.fixture(scope="module")
def watched(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    watched = Watched(shared_upstream, tmp_path_factory.mktemp("watched"))
    yield watched
    shared_upstream.plays()
    assert watched.service.stop() == 0, watched.service.output


def asking(text: str = "hello", **more: object) -> bytes:
    return json.dumps({"input": text, **more}).encode()


PIECES = {
    "words": "words ",
    "one line": "a",
    "JWT": "eyJ-",
    "JWTs": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.",
    "keys": "sk-proj-abcdefghijklmnopqrstuvwxyz ",
    "beginnings of keys": "sk-ghp_xoxb-AKIAhf_",
    "PEM": "-----BEGIN PRIVATE KEY-----\n",
    "addresses": "https://user:pass@host.example/?token=",
    "tags": "<a ",
    "tags in tags": "<a b=",
    "addresses in addresses": "<ab:",
    "comments": "<!--",
    "brackets": "![[(",
    "links": "[a](javascript:",
    "entities": "&#x6a;&colon;",
    "backticks": "`",
    "quotes": "> - ",
    "hidden characters": "\u200b\U000e0100",
    "emoji": "\U0001f469\u200d",
    "line ends": "\n",
    "spaces": " ",
    "underscores": "_*",
}

JUNK: dict[str, bytes] = {
    "[[],": b"[" + b"[]," * 600_000 + b"1]",
    "[": b"[" * 1_900_000,
    '{"a":': b'{"a":' * 380_000,
    "a list in an answer": b'{"choices": [' + b"[]," * 600_000 + b"1]}",
    "a list beside an answer": b'{"choices": [{"message": {"content": "hi"}}], "x": [' + b"[]," * 600_000 + b"1]}",
    "objects for choices": b'{"choices": [' + b'{"index": 0},' * 140_000 + b"{}]}",
    "parts of a text": b'{"choices": [{"message": {"content": [' + b'"a",' * 450_000 + b'"b"]}}]}',
    "tool calls": b'{"choices": [{"message": {"tool_calls": [' + b"{}," * 600_000 + b"{}]}}]}",
    "a number of 4,000 digits": b'{"choices": [{"message": {"content": "hi"}}], "created": ' + b"9" * 4_000 + b"}",
    "a number of a megabyte": b'{"choices": [{"message": {"content": "hi"}}], "created": ' + b"9" * 1_000_000 + b"}",
    "many fields": b"{" + b",".join(b'"%d":0' % n for n in range(180_000)) + b"}",
    "HTML": b"<p>" * 600_000,
    "white space": b" " * 1_900_000,
}

REQUESTS: dict[str, tuple[bytes, str]] = {
    "[[],": (b"[" + b"[]," * (BODY // 3) + b"1]", RUNS),
    "[": (b"[" * BODY, RUNS),
    "deep metadata": (b'{"input": "a", "metadata": ' + b'{"a":' * 150_000 + b"1" + b"}" * 150_000 + b"}", RUNS),
    "wide metadata": (asking(metadata={str(n): n for n in range(60_000)}), RUNS),
    "a list as metadata": (b'{"input": "a", "metadata": {"a": [' + b"[]," * 300_000 + b"1]}}", RUNS),
    "unknown fields": (b'{"input": "a", ' + b",".join(b'"a%d": 1' % n for n in range(80_000)) + b"}", RUNS),
    "a number": (b'{"input": "a", "metadata": {"a": ' + b"9" * 900_000 + b"}}", RUNS),
    "a long text": (asking("eyJ-" * 240_000), RUNS),
    "the longest text": (asking("eyJ-" * 7_900), RUNS),
    "escapes": (b'{"input": "' + b"\\u0000" * 160_000 + b'"}', RUNS),
    "messages": (json.dumps({"messages": [{"role": "user", "content": "a"}] * 25_000}).encode(), CHAT),
    "wrong messages": (json.dumps({"messages": [{"role": "x"}] * 60_000}).encode(), CHAT),
    "parts": (
        json.dumps({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 28_000}]}).encode(),
        CHAT,
    ),
    "lists for messages": (b'{"messages": [' + b"[]," * 300_000 + b"1]}", CHAT),
}

RESULTS: dict[str, str] = {
    "[": "[" * 1_000_000,
    "[[],": "[" + "[]," * 300_000 + "1]",
    "rates that are lists": '{"rates": {"USD": [' + "[]," * 300_000 + "1]}}",
    "many rates": '{"rates": {' + ",".join(f'"A{n}": 1.5' for n in range(70_000)) + "}}",
    "400 digits": '{"rates": {"USD": ' + "9" * 400 + "}}",
    "a million digits": '{"rates": {"USD": ' + "9" * 1_000_000 + "}}",
    "a text": '{"rates": {"USD": "' + "eyJ-" * 240_000 + '"}}',
}


def judge(row: Row, held: Held) -> None:
    longest = max(held, key=lambda name: held[name][0])
    row.shows(cases=len(held), longest=f"{held[longest][0] * 1000:.0f} ms ({longest})")
    assert not {name: told for name, told in held.items() if told[0] > MOST_SECONDS}
    assert not {name: told[1] for name, told in held.items() if told[1] == 500 or not told[1]}


def whole(text: str) -> str:
    return json.dumps({"choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]})


def chunk(text: str) -> str:
    """A stream of one piece."""
    told = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}
    return f"data: {json.dumps(told)}\n\ndata: [DONE]\n\n"


BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.mark.proves("scale.backpressure")
@BOTH
async def test_the_longest_texts_of_a_model(stream: bool, watched: Watched, upstream: Upstream, row: Row) -> None:
    """No text of a model holds the event loop for more than 250 ms."""

    def play(name: str) -> None:
        text = PIECES[name] * (SIZE // (len(json.dumps(PIECES[name])) - 2))
        upstream.plays({"fault": "body", "text": chunk(text) if stream else whole(text)})

    judge(row, await watched.held_by(dict.fromkeys(PIECES, (asking(stream=stream), RUNS)), play))


@pytest.mark.proves("scale.backpressure")
@BOTH
async def test_junk_of_a_model(stream: bool, watched: Watched, upstream: Upstream, row: Row) -> None:
    """No body of a model's server holds the event loop for more than 250 ms."""

    def play(name: str) -> None:
        upstream.plays({"fault": "body", "text": f"{'data: ' * stream}{JUNK[name].decode()}\n\n"})

    judge(row, await watched.held_by(dict.fromkeys(JUNK, (asking(stream=stream), RUNS)), play))


@pytest.mark.proves("scale.backpressure")
async def test_requests(watched: Watched, row: Row) -> None:
    """No request holds the event loop for more than 250 ms."""
    judge(row, await watched.held_by(REQUESTS))


@pytest.mark.proves("scale.backpressure")
async def test_results_of_a_tool(watched: Watched, upstream: Upstream, row: Row) -> None:
    """No result of a tool holds the event loop for more than 250 ms."""
    question = asking('call exchange_rate {"base": "EUR", "quote": "USD"}')

    def play(name: str) -> None:
        upstream.plays({"fault": "body", "text": RESULTS[name], "path": "/latest"})

    judge(row, await watched.held_by(dict.fromkeys(RESULTS, (question, RUNS)), play))


@pytest.mark.proves("scale.backpressure")
async def test_the_hostile_corpus(watched: Watched, upstream: Upstream, row: Row) -> None:
    """No hostile request of the corpus holds the event loop for more than 250 ms."""
    before = len(watched.holds())
    for request in requests(KEY, mutants=100):
        _, writer = await asyncio.open_connection("127.0.0.1", watched.service.port)
        writer.write(request)
        await asyncio.sleep(0.02)
        writer.close()
    await asyncio.sleep(0.5)
    longest = max((float(hold["cpu"]) for hold in watched.holds()[before:]), default=0.0)
    row.shows(longest=f"{longest * 1000:.0f} ms")
    assert longest <= MOST_SECONDS, watched.holds()[before:]
