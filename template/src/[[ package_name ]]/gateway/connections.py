"""A client's connection, bounded in every direction. uvicorn alone takes heads of any size at any speed, parses any
number of requests ahead of their answers, and waits without a limit for a client that does not read."""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from .descriptors import Descriptors
from .flow import Flow
from .framing import without_chunks
from .turns import Turns

log = structlog.get_logger(__name__)

MAX_HEAD_BYTES = 65_536  # generous: proxies in front allow 8 to 64 KiB
MAX_FIELDS = 128
_PIECES_AT_ONCE = 64
_SECONDS_AT_THE_END = 3.0  # for a client to take its answer after SIGTERM

_BLANK_LINE = b"\r\n\r\n"
# The service takes no upgrade (RFC 9110, 7.8), but the parser would read the body as the offered protocol.
_UPGRADE, _IGNORED = re.compile(rb"\r\nupgrade:", re.IGNORECASE), b"\r\nx-offer:"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedConnection(HttpToolsProtocol):
    """Parses one request at a time. Bytes that a client sends ahead wait unparsed; meanwhile the socket is not read.

    Args:
        seconds: the time for a head, from its first byte to its last; for the rest of a body after its answer; for a
            client to take what was written.
        descriptors: bounds the number of connections.
        turns: the order in which the requests of all connections begin.
    """

    def __init__(self, *args: Any, seconds: float, descriptors: Descriptors, turns: Turns, **more: Any) -> None:
        super().__init__(*args, **more)
        self._seconds = seconds
        self._turns = turns
        self._descriptors = descriptors
        self._ahead = bytearray()  # received, not parsed yet
        self._request: RequestResponseCycle | None = None  # the latest
        self._in_head = True  # or before one; else in a body
        self._size = 0  # bytes parsed since the head began, or since the body's last byte
        self._body_left = 0  # bytes of a body with a Content-Length
        self._begun = False  # a head
        self._timer: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None
        self.since = 0.0  # the time of the last answer, else of the opening

    @property
    def waits(self) -> bool:
        """True while no request is being answered."""
        return self._request is None or self._request.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        fits = self._make_room((transport.get_extra_info("sockname") or ("", 0))[1])
        super().connection_made(transport)
        self.since = self.loop.time()
        self.flow: Flow = Flow(transport)
        transport.set_write_buffer_limits(high=0)  # `pause_writing` tells of every byte that is not taken
        self._within(self.timeout_keep_alive, transport.close)
        if not fits:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._within(None)
        self.resume_writing()
        self._ahead.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._ahead += data
        self._parse()

    def on_headers_complete(self) -> None:
        self._within(None)
        self._in_head, self._begun, self._size = False, False, 0
        self._body_left = next((int(value) for name, value in self.headers if name == b"content-length"), 0)
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer; the service uses none
        if len(self.headers) >= MAX_FIELDS:
            self._refuse(_TOO_LARGE)
            raise ValueError("too many header fields")  # ends the parsing
        super().on_header(name, value)

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def on_body(self, body: bytes) -> None:
        self._size = 0
        self._body_left -= min(len(body), self._body_left)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._size, self._body_left = True, 0, 0
        if self.waits:
            self._within(self.timeout_keep_alive, self.transport.close)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.since = self.loop.time()
        if not self._in_head:
            self._within(self._seconds, self.transport.abort)
        self._parse()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reader:
            self._reader.cancel()
            self._reader = None

    def shutdown(self) -> None:
        super().shutdown()
        self._seconds = min(self._seconds, _SECONDS_AT_THE_END)
        if self._reader:
            self._expect_reader()

    def _make_room(self, port: int) -> bool:
        """True if one more connection fits. When all places are taken, the one that has waited longest is closed."""
        if len(self.connections) < self._descriptors.room_on(port):
            return True
        self._descriptors.tell("connections_full")
        waiting = [one for one in self.connections if isinstance(one, BoundedConnection) and one.waits]
        waiting = [one for one in waiting if not one.transport.is_closing()]
        if waiting:
            min(waiting, key=lambda one: one.since).transport.abort()
        return bool(waiting)

    def _parse(self) -> None:
        more = all(self._parse_piece() for _ in range(_PIECES_AT_ONCE))
        if more:
            self.loop.call_soon(self._parse)  # after the other connections
        if not self.transport.is_closing():
            self.flow.hold(bool(self._ahead) and (more or self._answering()))

    def _parse_piece(self) -> bool:
        """True if there may be more to parse."""
        if not self._ahead or self.transport.is_closing() or self._answering():
            return False
        if self._in_head and not self._begun:
            if blank := len(start := self._ahead[:1024]) - len(start.lstrip(b"\r\n")):
                del self._ahead[:blank]  # ignored before a request (RFC 9112, 2.2)
                return True
            self._begun = True
            self._within(self._seconds, partial(self._refuse, _TOO_SLOW))
        if self._size >= MAX_HEAD_BYTES:
            self._refuse(_TOO_LARGE)
        elif piece := self._piece():
            self._size += len(piece)
            super().data_received(piece)
            return True
        return False

    def _answering(self) -> bool:
        return self._in_head and not self.waits

    def _piece(self) -> bytes:
        """The next bytes of one message: it ends with its Content-Length, or with a blank line."""
        found = self._ahead.find(_BLANK_LINE)
        end = self._body_left or (found + len(_BLANK_LINE) if found >= 0 else len(self._ahead))
        if self._in_head:
            self._ahead[:end] = _UPGRADE.sub(_IGNORED, self._ahead[:end])
        if not self._body_left and found < 0:
            end = max(end - len(_IGNORED), 0)  # a blank line or an upgrade may be cut here
        piece = bytes(self._ahead[: min(end, MAX_HEAD_BYTES - self._size)])
        del self._ahead[: len(piece)]
        return piece

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._request = cycle
        app = app if cycle.scope["http_version"] == "1.1" else without_chunks(cycle, app)
        self._turns.take(cycle, partial(super()._start_asgi_task, cycle, app))

    def _within(self, seconds: float | None, act: Callable[[], None] | None = None) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, act) if seconds is not None and act else None

    def _expect_reader(self) -> None:
        if self._reader:
            self._reader.cancel()
        self._reader = self.loop.call_later(self._seconds, self._give_up)

    def _give_up(self) -> None:
        log.info("client_does_not_read")  # the disconnect cancels its run, which is accounted for
        self.transport.abort()

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()
