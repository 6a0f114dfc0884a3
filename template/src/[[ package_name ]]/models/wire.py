"""Reads the responses of Chat Completions before the SDK does, and passes them on in OpenAI's form.

Here the service meets what servers make of the protocol: events that bend the rules of server-sent events (WHATWG HTML,
9.2), and bodies that are not what was asked for. `dialects.py` and `pieces.py` put their content into OpenAI's form.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator

from ..guard.bodies import MAX_JSON_BYTES, AnswerTooLarge
from .dialects import completion
from .pieces import Pieces, whole_of
from .refusals import Json, Refused, Unreadable

_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")  # a \r that has arrived last may be the half of a \r\n
_EVENTS = re.compile(rb"\s*(?:data|event|id|retry|error)?:")
_DONE = "[DONE]"


async def whole(body: bytes) -> tuple[int, bytes]:
    """The status and the body that the SDK gets in place of a whole answer.

    Raises:
        Unreadable: it is no answer.
    """
    try:
        return 200, _dumped(completion(await _told(body)))
    except Refused as error:
        return error.status, _dumped(error.body())
    except RecursionError as error:
        raise Unreadable("it is nested too deeply") from error


async def streamed(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The events that the SDK gets in place of a stream.

    Raises:
        Unreadable: the stream breaks off.
    """
    pieces = Pieces()
    try:
        async for event, data in _events(body):
            if data == _DONE:
                for chunk in pieces.ending():
                    yield _event(chunk)
                yield b"data: [DONE]\n\n"
                return
            for told in _objects(data, event):
                for number, chunk in enumerate(pieces.chunks(told, event)):
                    if number:
                        await asyncio.sleep(0)  # a long text: lets others run
                    yield _event(chunk)
    except Refused as error:
        yield _event(error.body(paid=pieces.begun))
    except (Unreadable, RecursionError) as error:
        if not pieces.ended:
            raise Unreadable(f"a piece of the stream is broken ({error})") from error


async def _told(body: bytes) -> object:
    """The JSON of a whole answer, or what the events say that some servers send in its place."""
    if not _EVENTS.match(body):
        return _parsed(body.decode("utf-8-sig", "replace"))
    pieces = Pieces()
    chunks: list[Json] = []
    async for event, data in _events(_at_once(body)):
        if data == _DONE:
            return whole_of([*chunks, *pieces.ending()])
        chunks += [chunk for told in _objects(data, event) for chunk in pieces.chunks(told, event)]
    if not pieces.ended:
        raise Unreadable("the events stop before the answer has ended")
    return whole_of(chunks)


async def _at_once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _events(stream: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, object]]:
    """(event, data) of each event: JSON's value, a text that is no JSON by itself, or the end mark. One without data is
    none; a line of JSON is one, even without a blank line or a field's name before it.
    """
    event, data = "", list[str]()
    async for raw in _lines(stream):
        line = raw.decode(errors="replace")
        name, _, value = line.partition(":")
        if name == "event":
            event = value.strip()
        elif name in ("data", "error"):  # llama.cpp has a field called error
            event, text = "error" if name == "error" else event, value.strip()
            told = _DONE if text.startswith(_DONE) else _json(text) if _begins_json(text) and not data else None
            if told is None:
                data.append(text)
            else:
                yield event, told
                event = ""
        elif _begins_json(line) or (line and data and _begins_json(data[0])):
            data.append(line)  # without a field: an error in the middle, or a whole answer that was not streamed
        elif not line:
            for text in _texts(data):
                yield event, text
            event, data = "", []
    for text in _texts(data):
        yield event, text


def _texts(lines: list[str]) -> list[str]:
    """The event's lines as one text, unless each line is JSON by itself: several events, sent as one."""
    several = len(lines) > 1 and all(_json(line) is not None for line in lines if line)
    return [line for line in lines if line] if several else [text] if (text := "\n".join(lines).strip()) else []


async def _lines(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    parts = [b""]
    size = 0
    first = True
    async for chunk in stream:
        parts.append(chunk)
        size += len(chunk)
        if not chunk or (not _LINE_END.search(chunk) and not parts[-2].endswith(b"\r")):
            if size > MAX_JSON_BYTES:
                raise AnswerTooLarge(f"more than {MAX_JSON_BYTES} bytes in one line")
            continue
        *lines, rest = _LINE_END.split(b"".join(parts))
        parts, size = [rest], len(rest)
        for line in lines:
            yield line.removeprefix(b"\xef\xbb\xbf") if first else line
            first = False
    if rest := b"".join(parts):
        yield (rest.removeprefix(b"\xef\xbb\xbf") if first else rest).rstrip(b"\r")


def _objects(data: object, event: str) -> Iterator[Json]:
    """The objects in an event's data: a server may send none (a ping, null) or a list of them.

    Raises:
        Refused: the data is the text of an error.
        Unreadable: it is broken.
    """
    if isinstance(data, str):
        if event == "error" and not _begins_json(data):
            raise Refused(data)
        data = _parsed(data) if _begins_json(data) else None
    yield from (one for one in (data if isinstance(data, list) else [data]) if isinstance(one, dict))


def _begins_json(text: str) -> bool:
    return text.startswith(("{", "["))


def _json(text: str) -> object:
    """The value of a JSON text; None if it is broken, or null."""
    try:
        return _loads(text)
    except (ValueError, RecursionError):
        return None


def _parsed(text: str) -> object:
    try:
        told = _loads(text)
    except ValueError as error:
        raise Unreadable(f"it is no JSON ({error})") from error
    return told[0] if isinstance(told, list) and len(told) == 1 else told  # as Google sends its errors


def _loads(text: str) -> object:
    return json.loads(text, strict=False)


def _event(told: Json) -> bytes:
    return b"data: %b\n\n" % _dumped(told)


def _dumped(told: Json) -> bytes:
    return json.dumps(told, ensure_ascii=False).encode(errors="replace")  # half a character is invalid in UTF-8
