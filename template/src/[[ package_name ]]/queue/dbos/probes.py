"""The worker's own HTTP: probes for an orchestrator, figures for Prometheus."""

import asyncio
import json
import threading
from concurrent.futures import TimeoutError as NotInTime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from ...config.settings import Settings
from ...health import Health
from .tasks import Tasks

_ANSWER_SECONDS = 2.0


class Probes:
    """`/livez`, `/startupz`, `/readyz`, `/metrics` on HOST and PORT, from a thread of their own.

    A worker whose event loop is blocked for a while is alive, so `/livez` answers then, and `/readyz` does not.
    """

    def __init__(self, health: Health, tasks: Tasks, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self._health = health
        self._tasks = tasks
        self._loop = loop
        try:
            self._server = ThreadingHTTPServer((settings.host, settings.port), self._handler())
        except OSError as error:
            raise SystemExit(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.") from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="probes", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """(status, media type, body)."""
        match path:
            case "/livez":
                return _json(200, {"status": "ok"})
            case "/startupz":
                return _json(200 if self._health.started else 503, {"started": self._health.started})
            case "/readyz":
                return self._ready()
            case "/metrics":
                return 200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY)
        return _json(404, {"detail": "There are /livez, /startupz, /readyz and /metrics."})

    def _ready(self) -> tuple[int, str, bytes]:
        async def look() -> tuple[bool, dict[str, object]]:
            ready, report = await self._health.ready()
            reachable = await self._tasks.reachable()
            return ready and reachable, {**report, "queue": "ok" if reachable else "unreachable"}

        asking = asyncio.run_coroutine_threadsafe(look(), self._loop)
        try:
            ready, report = asking.result(_ANSWER_SECONDS)
        except NotInTime:
            asking.cancel()
            return _json(503, {"detail": "The worker is too busy to answer."})
        return _json(200 if ready else 503, report)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            timeout = 5  # seconds for a client to send its request

            def do_GET(self) -> None:
                status, media_type, body = answer(self.path.partition("?")[0])
                self.send_response(status)
                self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Probes are not worth a line."""

        return Handler


def _json(status: int, body: dict[str, object]) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps(body).encode()
