"""The worker's own HTTP: probes for an orchestrator, figures for Prometheus."""

import asyncio
import json
import threading
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Self

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from ...config.listening import bound
from ...config.settings import Settings
from ...health import Health
from .tasks import Tasks

_ANSWER_SECONDS = 2.0
_CONNECTION_SECONDS = 5.0  # for a client to send its request and to read the answer
_CONNECTIONS = 32  # open at once; for one more, the oldest is closed
_HEAD_BYTES = 16_384

Answer = tuple[int, str, bytes]  # status, media type, body


class Probes:
    """Serves `/livez`, `/startupz`, `/readyz` and `/metrics` on HOST and PORT, in a thread with a loop of its own.

    Outside of development, PORT answers with statuses only; metrics and reasons are on OPERATIONS__PORT.

    A worker whose event loop is blocked for a while is alive, so `/livez` answers then, and `/readyz` does not.
    """

    def __init__(self, health: Health, tasks: Tasks, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self._health = health
        self._tasks = tasks
        self._worker = loop
        in_development = settings.environment == "development"
        self._sockets = [(listener, in_development) for listener in bound(settings.host, settings.port)]
        self.port = int(self._sockets[0][0].getsockname()[1])
        if settings.operations.port is not None:
            self._sockets += [(listener, True) for listener in bound(settings.host, settings.operations.port)]
        self._open: dict[asyncio.StreamWriter, None] = {}  # the oldest first
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)

    def __enter__(self) -> Self:
        self._runner.get_loop()  # made here: this thread and the other, at once, would make two, and wait for ever
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._runner.get_loop().call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        with self._runner:
            self._runner.run(self._serve())

    async def _serve(self) -> None:
        for listener, details in self._sockets:
            await asyncio.start_server(partial(self._converse, details), sock=listener, limit=_HEAD_BYTES)
        await self._stopping.wait()

    async def _converse(self, details: bool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= _CONNECTIONS:
            next(iter(self._open)).transport.abort()
        self._open[writer] = None
        try:
            async with asyncio.timeout(_CONNECTION_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                method, target, *_ = [*head.split(b"\r\n")[0].decode("latin-1").split(" "), "", ""]
                status, media_type, body = await self._answer(method, target.partition("?")[0], details=details)
                lines = [
                    f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
                    f"Content-Type: {media_type}",
                    f"Content-Length: {len(body)}",
                    "Connection: close",
                ]
                writer.write("\r\n".join([*lines, "", ""]).encode() + (b"" if method == "HEAD" else body))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        except asyncio.CancelledError:  # at the worker's end; Python 3.11 would log it as an error
            writer.transport.abort()
        finally:
            del self._open[writer]

    async def _answer(self, method: str, path: str, *, details: bool) -> Answer:
        if method not in ("GET", "HEAD"):
            return _json(405, {"detail": "There are GET and HEAD."})
        match path:
            case "/livez":
                return _json(200, {"status": "ok"})
            case "/startupz":
                return _json(200 if self._health.started else 503, {"started": self._health.started})
            case "/readyz":
                return await self._ready(details=details)
            case "/metrics" if not details:
                return _json(404, {"detail": "Metrics are on OPERATIONS__PORT."})
            case "/metrics":
                return 200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY)
        return _json(404, {"detail": "There are /livez, /startupz, /readyz and /metrics."})

    async def _ready(self, *, details: bool) -> Answer:
        async def look() -> tuple[bool, dict[str, object]]:
            ready, report = await self._health.ready()
            reachable = await self._tasks.reachable()
            return ready and reachable, {**report, "queue": "ok" if reachable else "unreachable"}

        looking = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(look(), self._worker))
        try:
            ready, report = await asyncio.wait_for(looking, _ANSWER_SECONDS)
        except TimeoutError:
            return _json(503, {"detail": "The worker is too busy to answer."})
        return _json(200 if ready else 503, report if details else {"ready": ready})


def _json(status: int, body: dict[str, object]) -> Answer:
    return status, "application/json", json.dumps(body).encode()
