"""How servers that are mostly compatible with Chat Completions bend the protocol, as public reports have it.

An oddity changes a good answer: the objects of it (`bend`), or the bytes that they are sent as (`frame`, `body`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


def same(told: Json) -> Json:
    return told


def framed(pieces: list[Json], *, done: bool = True) -> list[bytes]:
    """The events of a stream."""
    events = [b"data: %b\n\n" % json.dumps(piece).encode() for piece in pieces]
    return [*events, b"data: [DONE]\n\n"] if done else events


@dataclass(frozen=True)
class Oddity:
    """One way to bend the protocol.

    Args:
        bend: changes a whole answer and each piece of a stream.
        pieces: changes the pieces of a stream together.
        frame: the bytes of a stream.
        body: the bytes of a whole answer.
        content_type: of both.
        tools: how many results of tools the model gets, if it is asked to call one.
        answered: whether the client gets the answer.
        refuses: whether the server says that it did not work on the request.
    """

    bend: Callable[[Json], Json] = same
    pieces: Callable[[list[Json]], list[Json]] = list
    frame: Callable[[list[Json]], list[bytes]] = framed
    body: Callable[[Json], bytes] = lambda told: json.dumps(told).encode()
    content_type: str | None = None
    tools: int = 0
    answered: bool = True
    refuses: bool = False

    def streamed(self, pieces: list[Json]) -> list[bytes]:
        return self.frame(self.pieces([self.bend(piece) for piece in pieces]))

    def whole(self, told: Json) -> bytes:
        return self.body(self.bend(told))


def without(*names: str) -> Callable[[Json], Json]:
    return lambda told: {name: value for name, value in told.items() if name not in names}


def having(**values: Any) -> Callable[[Json], Json]:
    return lambda told: {**told, **values}


def of_choice(change: Callable[[Json], Json]) -> Callable[[Json], Json]:
    return lambda told: {**told, "choices": [change(choice) for choice in told["choices"]]}


def of_message(change: Callable[[Json], Json]) -> Callable[[Json], Json]:
    def changed(choice: Json) -> Json:
        return {**choice, **{name: change(choice[name]) for name in ("message", "delta") if name in choice}}

    return of_choice(changed)


def of_calls(change: Callable[[Json], Json]) -> Callable[[Json], Json]:
    def changed(message: Json) -> Json:
        calls = message.get("tool_calls")
        return {**message, "tool_calls": [change(call) for call in calls]} if calls else message

    return of_message(changed)


def of_content(change: Callable[[str], Any]) -> Callable[[Json], Json]:
    return of_message(lambda told: {**told, "content": change(told["content"])} if told.get("content") else told)


def arguments(change: Callable[[str], Any]) -> Callable[[Json], Json]:
    def changed(call: Json) -> Json:
        return {**call, "function": {**call["function"], "arguments": change(call["function"]["arguments"])}}

    return of_calls(changed)


def twice(call: Json) -> list[Json]:
    function = call["function"]
    other = {**function, "arguments": function["arguments"].replace("3", "4")}
    return [{**call, "id": "call_1"}, {**call, "id": "call_2", "function": other}]


def two_calls(change: Callable[[Json], Json] = same) -> Callable[[Json], Json]:
    """The tool call, and another one with a 4 for each 3."""

    def changed(message: Json) -> Json:
        calls = message.get("tool_calls")
        return {**message, "tool_calls": [change(one) for call in calls for one in twice(call)]} if calls else message

    return of_message(changed)


def older(message: Json) -> Json:
    calls = message.get("tool_calls")
    return {**without("tool_calls")(message), "function_call": calls[0]["function"]} if calls else message


def calls_in(piece: Json) -> list[Json]:
    return (piece["choices"] or [{}])[0].get("delta", {}).get("tool_calls") or []


def call_cut(pieces: list[Json]) -> list[Json]:
    """The arguments in several pieces, each with the call's id and name."""

    def cut(piece: Json, at: int) -> Json:
        return arguments(lambda told: told[at : at + 7])(piece)

    return [
        one for piece in pieces for one in ([cut(piece, at) for at in range(0, 70, 7)] if calls_in(piece) else [piece])
    ]


def call_again(pieces: list[Json]) -> list[Json]:
    return [one for piece in pieces for one in ([piece, piece] if calls_in(piece) else [piece])]


def text(piece: Json) -> str:
    return (piece["choices"] or [{}])[0].get("delta", {}).get("content") or ""


def saying(content: str, piece: Json) -> Json:
    return of_content(lambda _: content)(piece)


def thinking_cut(pieces: list[Json]) -> list[Json]:
    """The thinking in tags, cut after every third character."""
    good = next((piece for piece in pieces if text(piece)), None)
    if good is None:
        return pieces
    thought = "<think>Let me see < 5.</think>"
    cuts = [thought[at : at + 3] for at in range(0, len(thought), 3)]
    cuts[-1] += "".join(map(text, pieces))
    rest = [piece for piece in pieces if not text(piece)]
    return [rest[0], *(saying(cut, good) for cut in cuts), *rest[1:]]


def characters_cut(pieces: list[Json]) -> list[Json]:
    """The halves of a character beyond the 16-bit ones in a piece each, as from a server in JavaScript."""
    halves = json.loads('["\\ud83d", "\\ude00"]')
    return [
        saying(cut, piece) for piece in pieces for cut in (halves if text(piece) == "\U0001f600" else [text(piece)])
    ]


def between(*lines: bytes) -> Callable[[list[Json]], list[bytes]]:
    """The events with these bytes before each."""
    return lambda pieces: [part for event in framed(pieces) for part in (*lines, event)]


def lines_ending(end: bytes) -> Callable[[list[Json]], list[bytes]]:
    return lambda pieces: [event.replace(b"\n", end) for event in framed(pieces)]


def whole_of(pieces: list[Json]) -> list[bytes]:
    """The answer of a server that does not stream."""
    delta = {name: value for piece in pieces for name, value in (piece["choices"] or [{}])[0].get("delta", {}).items()}
    message = {**delta, "content": "".join(map(text, pieces)) or None}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    told = {**pieces[0], "object": "chat.completion", "choices": [choice], "usage": pieces[-1].get("usage")}
    return [json.dumps(told, indent=1).encode()]


def streamed_of(told: Json) -> bytes:
    """The answer of a server that streams always."""
    choice = told["choices"][0]
    last = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
    pieces = [
        {**told, "usage": None, "choices": [{"index": 0, "delta": {**choice["message"], "content": part}}]}
        for part in choice["message"]["content"].partition(" ")
    ]
    return b"".join(framed([*pieces, {**told, "choices": [last]}]))


def only(body: bytes, **options: Any) -> Oddity:
    return Oddity(frame=lambda _: [body], body=lambda _: body, answered=False, **options)


ERROR = {"message": "The server had an error.", "type": "server_error", "code": 500}
FILTERS = {"choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}
USAGE_IN_CHOICE = of_choice(lambda choice: {**choice, "usage": {"prompt_tokens": 100, "completion_tokens": 20}})

ODDITIES: dict[str, Oddity] = {
    # Events (WHATWG HTML, 9.2)
    "data: null": Oddity(frame=between(b"data: null\n\n")),
    "blank data": Oddity(frame=between(b"data:\n\n", b"data: \n\n")),
    "events without data": Oddity(frame=between(b"event: ping\nid: 7\nretry: 3000\n\n")),
    "comments": Oddity(frame=between(b": OPENROUTER PROCESSING\n\n", b":\n")),
    "pings that are no JSON": Oddity(frame=between(b"data: ping\n\n", b'data: {"type": "ping"}\n\n')),
    "no blank lines": Oddity(frame=lambda pieces: [event[:-1] for event in framed(pieces)]),
    "several events in one": Oddity(frame=lambda pieces: [b"".join(e[:-1] for e in framed(pieces)) + b"\n"]),
    "CRLF": Oddity(frame=lines_ending(b"\r\n")),
    "CR": Oddity(frame=lines_ending(b"\r")),
    "a byte order mark": Oddity(
        frame=lambda pieces: [b"\xef\xbb\xbf", *framed(pieces)], body=lambda told: json.dumps(told).encode("utf-8-sig")
    ),
    "no space after data": Oddity(
        frame=lambda pieces: [event.replace(b"data: ", b"data:", 1) for event in framed(pieces)]
    ),
    "an object over several lines": Oddity(
        frame=lambda pieces: [
            *(b"data: " + json.dumps(piece, indent=0).replace("\n", "\ndata: ").encode() + b"\n\n" for piece in pieces),
            b"data: [DONE]\n\n",
        ]
    ),
    "no field names": Oddity(frame=lambda pieces: [json.dumps(piece).encode() + b"\n" for piece in pieces]),
    "text behind the end": Oddity(frame=lambda pieces: [*framed(pieces), b"data: {broken\n\n", b"data: [DONE]\n\n"]),
    "no last blank line": Oddity(frame=lambda pieces: [b"".join(framed(pieces, done=False)).rstrip()]),
    "lists of objects": Oddity(
        frame=lambda pieces: [b"data: %b\n\n" % json.dumps(pieces).encode(), b"data: [DONE]\n\n"],
        body=lambda told: json.dumps([told]).encode(),
    ),
    "an answer that is not streamed": Oddity(frame=whole_of, content_type="application/json"),
    "an answer that is streamed unasked": Oddity(body=streamed_of, content_type="text/event-stream"),
    "text/plain": Oddity(content_type="text/plain; charset=utf-8"),
    # Objects
    "a first object without choices": Oddity(pieces=lambda pieces: [FILTERS, {"choices": None}, *pieces]),
    "choices that are one object": Oddity(bend=lambda told: {**told, "choices": (told["choices"] or [None])[0]}),
    "pieces without a delta": Oddity(
        pieces=lambda pieces: [{"choices": [{"index": 0, "delta": None}]}, {"choices": [{"index": 0}]}, *pieces]
    ),
    "messages for deltas": Oddity(
        bend=of_choice(lambda c: {**without("delta")(c), "message": c["delta"]} if "delta" in c else c)
    ),
    "no envelope": Oddity(bend=without("id", "created", "model", "object")),
    "an envelope of null": Oddity(bend=having(id=None, created=None, model=None, object=None, service_tier=None)),
    "an envelope of other types": Oddity(
        bend=having(id=7, created="now", model=["x"], service_tier=5, system_fingerprint=[], moderation="none")
    ),
    "a time beyond all numbers": Oddity(bend=having(created=10**300)),
    "content as a list of parts": Oddity(bend=of_content(lambda word: [{"type": "text", "text": word}])),
    "content as an object": Oddity(bend=of_content(lambda word: {"type": "text", "text": word})),
    "fields of null": Oddity(
        bend=lambda told: of_message(having(refusal=None, function_call=None, audio=None, reasoning=None))(
            of_choice(having(logprobs=None, content_filter_results=None))(told)
        )
    ),
    "logprobs and annotations of other types": Oddity(
        bend=lambda told: of_message(having(annotations="none"))(of_choice(having(logprobs=[1, 2]))(told))
    ),
    "characters that are cut in two": Oddity(pieces=characters_cut),
    "an unknown finish reason": Oddity(bend=of_choice(lambda c: {**c, "finish_reason": c["finish_reason"] and "eos"})),
    "no finish reason": Oddity(bend=of_choice(without("finish_reason"))),
    "empty finish reasons": Oddity(bend=of_choice(lambda c: {**c, "finish_reason": c["finish_reason"] or ""})),
    "thinking tags that are cut": Oddity(pieces=thinking_cut),
    # Usage
    "usage in each object": Oddity(bend=having(usage={"prompt_tokens": 100, "completion_tokens": 20})),
    "usage in a choice": Oddity(bend=lambda told: USAGE_IN_CHOICE(without("usage")(told))),
    "usage under other names": Oddity(bend=having(usage={"input_tokens": "100", "output_tokens": 20.0, "details": []})),
    # Tool calls
    "tool calls that are an empty object": Oddity(bend=of_message(having(tool_calls={}))),
    "arguments as an object": Oddity(bend=arguments(json.loads), tools=1),
    "no index of a tool call": Oddity(bend=two_calls(without("index")), tools=2),
    "the index 0 for each tool call": Oddity(bend=two_calls(having(index=0)), tools=2),
    "the same id for each tool call": Oddity(bend=two_calls(having(id="call_1")), tools=2),
    "tool calls without an id": Oddity(bend=of_calls(without("id", "type")), tools=1),
    "the older function_call": Oddity(bend=of_message(older), tools=1),
    "a name in each piece of a tool call": Oddity(pieces=call_cut, tools=1),
    "a tool call that is sent again": Oddity(pieces=call_again, tools=1),
    "stop at a tool call": Oddity(
        bend=of_choice(lambda c: {**c, "finish_reason": c["finish_reason"] and "stop"}), tools=1
    ),
    # No answers
    "a list": only(b"[1, 2, 3]", content_type="application/json"),
    "a string": only(b'"hello"', content_type="application/json"),
    "an empty object": only(b"{}", content_type="application/json"),
    "nothing": only(b"", content_type="application/json"),
    "HTML": only(b"<!doctype html>\n<html>Bad gateway</html>", content_type="text/html"),
    "choices of null": only(b'{"id": "1", "object": "chat.completion", "choices": null}'),
    "half an object": Oddity(
        frame=lambda pieces: [*framed(pieces, done=False)[:2], b'data: {"choices": [{"ind'],
        body=lambda told: json.dumps(told).encode()[:-40],
        answered=False,
    ),
    "nested without an end": only(b'{"choices": ' + b"[" * 100_000),
    "an error": only(json.dumps({"error": ERROR}).encode(), content_type="application/json", refuses=True),
    "an error as an event": only(b"data: " + json.dumps({"error": ERROR}).encode() + b"\n\n", refuses=True),
    "an error in a field": only(b"error: " + json.dumps(ERROR).encode() + b"\n\n", refuses=True),
    "an error in words": only(b'{"object": "error", "message": "no", "type": "NotFound", "code": 404}', refuses=True),
    "an error in the middle": Oddity(
        frame=lambda pieces: [*framed(pieces, done=False)[:3], b"data: %b\n\n" % json.dumps({"error": ERROR}).encode()],
        body=lambda _: b"<html>",
        answered=False,
    ),
}
