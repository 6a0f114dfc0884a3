"""A model server that costs next to nothing: Chat Completions, on 127.0.0.1:PORT. The model's name says how it answers.

`slow` after half a second, `idle` with a first piece and then nothing for an hour, every other at once.
Streams are a few pieces, five milliseconds apart. It takes all other posts (telemetry) without a word.
"""

import asyncio
import json
import sys
from itertools import count
from typing import cast

import uvloop

SLOW_SECONDS, PIECES, BETWEEN_SECONDS, IDLE_SECONDS = 0.5, 20, 0.005, 3_600


def whole() -> bytes:
    message = {"role": "assistant", "content": "Done."}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4.1-mini"}
    return json.dumps(body | {"choices": choices, "usage": usage}).encode()


def piece(number: int) -> bytes:
    delta = {"role": "assistant", "content": f"{number} "} if number < PIECES else {}
    choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4.1-mini"}
    return f"data: {json.dumps(chunk | {'choices': [choice]})}\n\n".encode()


def head(status: bytes, kind: bytes, length: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Type: %s\r\n%s\r\n\r\n" % (status, kind, length)


WHOLE = whole()
ANSWER = head(b"200 OK", b"application/json", b"Content-Length: %d" % len(WHOLE)) + WHOLE
NOTHING = head(b"200 OK", b"application/json", b"Content-Length: 2") + b"{}"
OPENING = head(b"200 OK", b"text/event-stream", b"Connection: close")
ENDING = piece(PIECES) + b"data: [DONE]\n\n"


class Upstream(asyncio.Protocol):
    """One connection; requests come one after another."""

    def __init__(self) -> None:
        self._received = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, _: Exception | None) -> None:
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        start, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        fields = start.lower()
        at = fields.find(b"content-length:")
        length = int(fields[at + 15 :].partition(b"\r\n")[0]) if at >= 0 else 0
        if len(rest) < length:
            return
        self._received = rest[length:]
        self._answer(start.partition(b"\r\n")[0], rest[:length])

    def _answer(self, request: bytes, body: bytes) -> None:
        if b"/chat/completions" not in request:
            self._transport.write(NOTHING)
        elif b'"stream":true' in body or b'"stream": true' in body:
            self._start(self._stream(idle=b'"idle"' in body))
        elif b'"slow"' in body:
            self._start(self._later())
        else:
            self._transport.write(ANSWER)

    def _start(self, work: "asyncio.coroutines.Coroutine[None, None, None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _later(self) -> None:
        await asyncio.sleep(SLOW_SECONDS)
        self._transport.write(ANSWER)

    async def _stream(self, *, idle: bool) -> None:
        self._transport.write(OPENING)
        for number in count():
            self._transport.write(piece(number) if number < PIECES else ENDING)
            if number == PIECES:
                break
            await asyncio.sleep(IDLE_SECONDS if idle else BETWEEN_SECONDS)
        self._transport.close()


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", port, backlog=4_096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
