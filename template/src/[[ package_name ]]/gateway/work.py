"""From a request to the runner and back: idempotency, clients that go away, answers in pieces."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Annotated, Any, Self, TypeVar

import structlog
from fastapi import Header, Request, Response
from starlette.requests import ClientDisconnect

from ..api.idempotency import KEY_PATTERN, headers_for, run_once
from ..config.settings import Settings
from ..runs.result import RunResult
from ..runs.task import Emit, Task
from ..service import Service
from .events import EventStream

log = structlog.get_logger(__name__)
T = TypeVar("T")
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=KEY_PATTERN,
        description="a request repeated with the same key and body gets the first one's answer",
    ),
]

Piece = str | RunResult | None

_PIECES_AHEAD = 64  # a client that reads slowly slows the model down, and fills no memory


class Work:
    """The work for one request: running its task, or finding the stored answer of its Idempotency-Key."""

    def __init__(self, service: Service, task: Task, key: str | None, fingerprint: str) -> None:
        self._service = service
        self._task = task
        self._key = key
        self._fingerprint = fingerprint
        self._running = False
        self._replayed = False

    @classmethod
    async def of(cls, request: Request, task: Task, key: str | None) -> Self:
        fingerprint = hashlib.sha256(request.url.path.encode() + await request.body()).hexdigest()
        return cls(request.app.state.service, task, key, fingerprint)

    async def done(self, emit: Emit | None = None) -> RunResult:
        """The answer. With `emit`, its text is also sent piece by piece, a replayed one in one piece."""

        async def run(task: Task) -> RunResult:
            self._running = True
            return await self._service.runner.run(task, emit)

        result, self._replayed = await run_once(self._service, self._task, self._key, self._fingerprint, run)
        if self._replayed and emit:
            await emit(result.output)
        return result

    @property
    def settings(self) -> Settings:
        return self._service.settings

    @property
    def outlives_client(self) -> bool:
        """Whether the run continues after its client left: a repeated request with its key gets the answer."""
        return self._key is not None and self._running

    @property
    def headers(self) -> dict[str, str]:
        """The response headers of an idempotent request; known when its answer begins."""
        return headers_for(self._service, self._key, replayed=self._replayed)


async def unless_gone(request: Request, work: Work, doing: Coroutine[Any, Any, T], *, to_its_end: bool = True) -> T:
    """The result of `doing`, which is cancelled if the client leaves, unless `work` outlives its client.

    Raises:
        ClientDisconnect: the client left.
    """

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.create_task(doing), asyncio.create_task(gone())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if to_its_end and work.outlives_client:
            log.info("run_outlives_client")
            await asyncio.wait({working})
        raise ClientDisconnect
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


class Pieces:
    """The answer's text piece by piece, and the whole result last; None after a silence.

    Args:
        work: makes the answer.
        first_seconds: the silence before the first item.
        silence_seconds: the silence between later items.

    Raises:
        Exception: the run's own error, unchanged.
    """

    def __init__(self, work: Work, first_seconds: float, silence_seconds: float) -> None:
        self._work = work
        self._patience = first_seconds
        self._silence_seconds = silence_seconds
        self._queue: asyncio.Queue[str | RunResult | Exception] = asyncio.Queue(_PIECES_AHEAD)
        self._wanted = True
        self._producing = asyncio.create_task(self._produce())

    async def _produce(self) -> None:
        try:
            await self._put(await self._work.done(self._put))
        except Exception as error:  # noqa: BLE001  raised again by the reader of the pieces
            await self._put(error)

    async def _put(self, item: str | RunResult | Exception) -> None:
        if self._wanted:
            await self._queue.put(item)

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self

    async def __anext__(self) -> Piece:
        if not self._wanted:
            raise StopAsyncIteration
        patience, self._patience = self._patience, self._silence_seconds
        try:
            async with asyncio.timeout(patience):
                item = await self._queue.get()
        except TimeoutError:
            return None
        if not isinstance(item, str):
            self._wanted = False
        if isinstance(item, Exception):
            raise item
        return item

    async def close(self) -> None:
        """Stops reading: cancels the run, unless it outlives its client; then waits for its end."""
        self._wanted = False
        try:
            if self._work.outlives_client and not self._producing.done():
                log.info("run_outlives_client")
                while not self._queue.empty():
                    self._queue.get_nowait()
                await asyncio.wait({self._producing})
        finally:
            self._producing.cancel()
            with suppress(asyncio.CancelledError):
                await self._producing


async def streamed(
    request: Request, work: Work, encode: Callable[[AsyncIterator[Piece]], AsyncIterator[bytes]]
) -> Response:
    """A response of server-sent events. An error has its own status if it comes before the first piece and in time.

    After STREAM__STATUS_SECONDS the response begins without a piece, since proxies cut silent connections.
    """
    settings = work.settings.stream
    pieces = Pieces(work, settings.status_seconds, settings.comment_seconds)
    try:
        first = await unless_gone(request, work, anext(pieces), to_its_end=False)
    except BaseException:
        await pieces.close()
        raise

    async def items() -> AsyncIterator[Piece]:
        yield first
        async for item in pieces:
            yield item

    return EventStream(encode(items()), pieces.close, work.headers)
