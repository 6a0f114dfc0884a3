"""The head of a request, bounded as its body is: uvicorn takes one of any size, before it is known who asks."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_BYTES = 65_536  # generous: proxies in front allow 8 to 64 KiB

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedHead(HttpToolsProtocol):
    """Closes a connection whose client does not come to the end of a head."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._in_head, self._between, self._received = True, False, 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._received = self._received + len(data) if self._in_head and not self._between else 0
        self._between = False
        if self._received > MAX_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = self._between = True
