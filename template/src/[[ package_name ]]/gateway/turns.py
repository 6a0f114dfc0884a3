"""The order in which requests begin when many arrive at once."""

import asyncio
from collections import deque
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_AT_ONCE = 16  # about 20 ms of work
_PROBES = {"/livez", "/readyz", "/startupz"}


class Turns:
    """Begins a few requests in each pass of the event loop, and probes before all others.

    If the requests of a thousand connections began in one pass, it would take a second, and a probe needs several
    passes.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[RequestResponseCycle, Callable[[], None]]] = deque()

    def take(self, request: RequestResponseCycle, begin: Callable[[], None]) -> None:
        """Calls `begin` in its turn, unless the client has left by then."""
        if request.scope["path"] in _PROBES:
            begin()
            return
        self._waiting.append((request, begin))
        if len(self._waiting) == 1:
            self._soon()

    def _next(self) -> None:
        for _ in range(min(_AT_ONCE, len(self._waiting))):
            request, begin = self._waiting.popleft()
            if not request.disconnected:
                begin()
        if self._waiting:
            self._soon()

    def _soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._next)
