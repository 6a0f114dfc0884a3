"""uvicorn, with a graceful end: not ready, then no new connections, then the requests in flight end, then exit."""

import asyncio
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI

from ..api.auth import expiries, tell_if_open
from ..config.listening import bound
from ..config.settings import Settings
from ..service import Service
from ..telemetry import metrics
from .connections import BoundedConnection
from .descriptors import Descriptors
from .turns import Turns

log = structlog.get_logger(__name__)

# Longer than load balancers keep idle connections (AWS 60 s, Google Cloud 600 s): the side that closes
# first may lose a request.
KEEP_ALIVE_SECONDS = 620

# uvloop accepts one connection of a socket in each pass of the event loop. Under load a pass takes a while, and a probe
# is a new connection: it would wait for all that came before it. Each twin of a socket accepts one more in a pass.
_ACCEPTS = 16


class DrainingServer(uvicorn.Server):
    """One server for PORT and OPERATIONS__PORT, so that both drain alike.

    SIGTERM: `/readyz` says 503 for DRAIN_SECONDS while load balancers look away, then the server closes.

    SIGINT, and a second SIGTERM, skip the wait. The exit status is 0: being stopped is no failure.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_seconds: float, descriptors: Descriptors) -> None:
        super().__init__(config)
        self._app = app
        self._drain_seconds = drain_seconds
        self._descriptors = descriptors

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        log.info("listening", addresses=sorted({listener.getsockname()[:2] for listener in sockets or []}))

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # each second
            self._descriptors.look()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        loop = asyncio.get_running_loop()
        service = getattr(self._app.state, "service", None)
        if service is None or service.health.draining or sig == signal.SIGINT:
            self.force_exit = self.should_exit  # the second time in a row
            self.should_exit = True
            return
        service.health.draining = True
        loop.call_soon_threadsafe(loop.call_later, self._drain_seconds, self._close)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        with super().capture_signals():
            yield
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends as told: told again, it would end as a failure

    def _close(self) -> None:
        self.should_exit = True


def _current(app: FastAPI, settings: Settings) -> Settings:
    """The newest settings, or those of the start while the service is not open."""
    service: Service | None = getattr(app.state, "service", None)
    return service.secrets.settings if service else settings


def serve(app: FastAPI, settings: Settings) -> None:
    """Serves until told to stop.

    Raises:
        SystemExit: with 1 when it could not start; the log says why.
    """
    tell_if_open(settings)
    metrics.observe_keys(lambda: expiries(_current(app, settings)))
    sockets, descriptors = bound(settings.host, settings.port), Descriptors()
    if settings.operations.port is not None:
        inside = bound(settings.host, settings.operations.port)
        sockets += inside
        descriptors.operations_ports = frozenset(listener.getsockname()[1] for listener in inside)
        app.state.operations_ports = descriptors.operations_ports
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=partial(  # type: ignore[arg-type]
            BoundedConnection,
            seconds=settings.limits.body_timeout_seconds,
            descriptors=descriptors,
            turns=Turns(),
        ),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.run.deadline_seconds) + 5,
    )
    server = DrainingServer(config, app, settings.drain_seconds, descriptors)
    try:
        server.run([twin for one in sockets for twin in (one, *(one.dup() for _ in range(_ACCEPTS - 1)))])
    except SystemExit:
        raise SystemExit(1) from None  # uvicorn's own statuses are no operator's business
