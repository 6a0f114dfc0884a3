"""Response bodies that are put into another form before an SDK reads them."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import cast

import httpx2

from .bodies import MAX_JSON_BYTES, AnswerTooLarge

ModelClient = httpx2.AsyncClient
Whole = Callable[[bytes], Awaitable[tuple[int, bytes]]]  # of a body: the status and the body that the SDK gets
Streamed = Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]

_STREAMS = re.compile(rb'"stream": ?true')  # in a request's body; inside a text its quotes would be escaped


def rewrite(client: ModelClient, path: str, whole: Whole, streamed: Streamed) -> None:
    """Rewrites the successful responses of `client` whose request's path ends with `path`: the body by `whole`, or by
    `streamed` if the request asks for a stream.
    """
    client.event_hooks["response"].append(partial(_rewrite, path, whole, streamed))


async def _rewrite(path: str, whole: Whole, streamed: Streamed, response: httpx2.Response) -> None:
    if not response.is_success or not response.request.url.path.rstrip("/").endswith(path):
        return
    stream = cast(httpx2.AsyncByteStream, response.stream)
    response.headers.pop("content-length", None)
    if _STREAMS.search(response.request.content):
        response.headers["content-type"] = "text/event-stream"
        response.stream = _Rewritten(stream, streamed)
        return
    response.headers["content-type"] = "application/json"
    try:
        response.status_code, body = await whole(await _read(stream))
    finally:
        await stream.aclose()
    response.stream = httpx2.ByteStream(body)


async def _read(stream: httpx2.AsyncByteStream) -> bytes:
    body = bytearray()
    async for chunk in stream:
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise AnswerTooLarge(f"more than {MAX_JSON_BYTES} bytes")
    return bytes(body)


class _Rewritten(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, streamed: Streamed) -> None:
        self._stream = stream
        self._streamed = streamed
        self._read = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._read:  # by an SDK that empties the connection after the answer's end
            return aiter(self._stream)
        self._read = True
        return self._streamed(aiter(self._stream))

    async def aclose(self) -> None:
        await self._stream.aclose()
