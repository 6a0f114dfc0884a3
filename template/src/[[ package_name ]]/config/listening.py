"""HOST, PORT and OPERATIONS__PORT, and their sockets."""

import errno
import socket
from typing import Any

from pydantic import BaseModel, Field


class OperationsSettings(BaseModel):
    """The port for operators."""

    port: int | None = Field(
        None, ge=0, le=65535, description="second port, with metrics and details; in production PORT has none"
    )


def bound(host: str, port: int) -> list[socket.socket]:
    """One bound socket for each address of `host`; the server makes it listen. `::` accepts IPv4 as well.

    Raises:
        SystemExit: with a sentence, if the port is taken or this machine does not have the address.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return [_bound(family, address) for family, _, _, _, address in addresses]
    except OSError as error:
        # Such as a second worker on one machine.
        way_out = " Give this process another PORT." if error.errno == errno.EADDRINUSE else ""
        raise SystemExit(f"Cannot listen on {host}:{port}: {error.strerror}.{way_out}") from error


def _bound(family: socket.AddressFamily, address: Any) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener
