"""Server-sent events that pass through proxies: they hold back small pieces, and cut silent connections."""

from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

# A comment; clients ignore it (https://html.spec.whatwg.org/multipage/server-sent-events.html). Its blank line keeps it
# apart from events for clients that split a stream at blank lines.
SILENCE = b": no news\n\n"


class EventStream(StreamingResponse):
    """A response of server-sent events. It calls `close` at its end, however it ends: Starlette closes nothing by
    itself, and the garbage collector's time may be minutes later."""

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncIterator[bytes],
        close: Callable[[], Awaitable[None]],
        headers: dict[str, str] | None = None,
    ) -> None:
        # nginx and others that follow it buffer no response with this header.
        super().__init__(events, 200, {"X-Accel-Buffering": "no", "Cache-Control": "no-store", **(headers or {})})
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._close()
