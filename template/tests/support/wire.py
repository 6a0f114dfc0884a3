"""HTTP as bytes on a socket: what no client library sends."""

from __future__ import annotations

import asyncio
import re

from support.processes import Service

QUIET = 0.2  # seconds without a byte, after which the last answer counts as whole


async def said(
    service: Service, *pieces: bytes, count: int = 1, host: str = "127.0.0.1", patience: float = 10.0
) -> bytes:
    """What comes back for these pieces, sent one after the other: so many answers, or all until the connection ends."""
    reader, writer = await asyncio.open_connection(host, service.port)
    received = b""
    try:
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(0.05)
            writer.write(piece)
            await writer.drain()
        while more := await asyncio.wait_for(reader.read(65_536), QUIET if _count(received) >= count else patience):
            received += more
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return received


def _count(received: bytes) -> int:
    return received.count(b"HTTP/1.1 ")


def answers(received: bytes) -> list[bytes]:
    """The single answers of a connection."""
    return re.split(rb"(?=HTTP/1\.1 \d{3} )", received)[1:]


def statuses(received: bytes) -> list[int]:
    return [int(answer[9:12]) for answer in answers(received)]
