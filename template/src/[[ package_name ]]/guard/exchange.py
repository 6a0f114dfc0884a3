"""The facts of a model server's response that an SDK does not report: the bytes received, a stream's end mark."""

import re
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpx2

# The end mark of a Chat Completions stream. A model's text cannot contain it: JSON has no raw line ends.
_END = re.compile(rb"[\r\n]data: ?\[DONE\]")
_LONGEST_END = 13


@dataclass
class Exchange:
    """One request and its response, updated while bytes arrive."""

    received: int = 0
    streamed: bool = False  # whether it is a stream, even if none was asked for
    done: bool = False  # the end mark has arrived


_current: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


@contextmanager
def exchange() -> Generator[Exchange]:
    """Records the requests sent inside the block; their responses may arrive later."""
    seen = Exchange()
    token = _current.set(seen)
    try:
        yield seen
    finally:
        _current.reset(token)


def watched(response: httpx2.Response) -> httpx2.Response:
    """`response`, recorded in the current exchange if there is one."""
    seen = _current.get()
    if seen and response.is_success and isinstance(response.stream, httpx2.AsyncByteStream):
        seen.streamed = response.headers.get("content-type", "").startswith("text/event-stream")
        response.stream = _Watched(response.stream, seen)
    return response


def record_boto3(response_dict: dict[str, Any], **_: object) -> None:
    """Records a response of boto3; for its event `before-parse`."""
    if seen := _current.get():
        body = response_dict["body"]
        seen.streamed = not isinstance(body, bytes)
        seen.received += len(body) if isinstance(body, bytes) else 1  # the SDK reads a stream later


class _Watched(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, seen: Exchange) -> None:
        self._stream = stream
        self._seen = seen

    async def __aiter__(self) -> AsyncIterator[bytes]:
        tail = b"\n"
        async for chunk in self._stream:
            self._seen.received += len(chunk)
            tail = tail[-_LONGEST_END:] + chunk
            self._seen.done = self._seen.done or _END.search(tail) is not None
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
