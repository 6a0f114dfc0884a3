"""From a request to the runner and back: idempotency, clients that go away, answers in pieces."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Annotated, TypeVar

from fastapi import Header, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from ..api.idempotency import KEY_PATTERN, headers_for, run_once
from ..runs.task import Emit, RunResult, Task
from ..service import Service

T = TypeVar("T")
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=KEY_PATTERN,
        description="a request repeated with the same key and body gets the first one's answer",
    ),
]
Work = Callable[[Emit | None], Coroutine[None, None, tuple[RunResult, bool]]]

_PIECES_AHEAD = 64  # a client that reads slowly slows the model down, and fills no memory


async def work_of(request: Request, task: Task, key: str | None) -> Work:
    """What is to be done for a request: run `task`, or find the answer that its Idempotency-Key already has."""
    service: Service = request.app.state.service
    fingerprint = hashlib.sha256(request.url.path.encode() + await request.body()).hexdigest()

    async def work(emit: Emit | None) -> tuple[RunResult, bool]:
        return await run_once(service, task, key, fingerprint, emit)

    return work


def headers_of(request: Request, key: str | None, *, replayed: bool) -> dict[str, str]:
    """What an idempotent request is told."""
    return headers_for(request.app.state.service, key, replayed=replayed)


async def unless_gone(request: Request, work: Coroutine[None, None, T]) -> T:
    """The result of `work`, which is cancelled when the client goes away.

    Raises:
        ClientDisconnect: it went away.
    """

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.create_task(work), asyncio.create_task(gone())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def pieces(work: Work) -> AsyncGenerator[str | RunResult]:
    """The answer's text piece by piece, the whole result last. Closing the generator cancels the run.

    Raises:
        Exception: what ended the run, unchanged.
    """
    queue: asyncio.Queue[str | RunResult | Exception] = asyncio.Queue(_PIECES_AHEAD)

    async def produce() -> None:
        try:
            result, _ = await work(queue.put)
            await queue.put(result)
        except Exception as error:  # noqa: BLE001  raised again, by whoever waits for a piece
            await queue.put(error)

    producing = asyncio.create_task(produce())
    try:
        while not isinstance(item := await queue.get(), RunResult):
            if isinstance(item, Exception):
                raise item
            yield item
        yield item
    finally:
        producing.cancel()
        with suppress(asyncio.CancelledError):
            await producing


async def streamed(
    request: Request,
    work: Work,
    key: str | None,
    encode: Callable[[AsyncIterator[str | RunResult]], AsyncIterator[bytes]],
) -> Response:
    """A response of server-sent events. What fails before the first piece still gets a status of its own."""
    source = pieces(work)
    try:
        first = await unless_gone(request, anext(source))
    except BaseException:
        await source.aclose()
        raise

    async def items() -> AsyncGenerator[str | RunResult]:
        yield first
        async for item in source:
            yield item

    return _Stream(source, encode(items()), headers_of(request, key, replayed=False))


class _Stream(StreamingResponse):
    """Server-sent events of a run, which ends with them, however they end: Starlette closes no generator by itself,
    and the garbage collector's time may be minutes later."""

    def __init__(
        self, source: AsyncGenerator[str | RunResult], events: AsyncIterator[bytes], headers: dict[str, str]
    ) -> None:
        super().__init__(events, 200, headers, "text/event-stream")
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._source):
            await super().__call__(scope, receive, send)
