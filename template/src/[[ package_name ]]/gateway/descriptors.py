"""File descriptors. Clients get a share of them, so that the service can always open a file or a socket of its own."""

import errno
import os
import resource
import time

import structlog

log = structlog.get_logger(__name__)

_MOST = 1_000  # connections; a flood makes each hold about 200 KB
_KEPT = 256  # for outbound calls: four dependencies with GUARD__MAX_CONCURRENT each
_FOR_OPERATORS = 16
_TELL_SECONDS = 10.0


class Descriptors:
    """The number of connections that may be open, and log lines about too many of them or too few descriptors."""

    def __init__(self) -> None:
        self._limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        unlimited = self._limit == resource.RLIM_INFINITY
        self.room = _MOST if unlimited else min(_MOST, max(self._limit - _KEPT, self._limit // 2))
        self.operations_ports: frozenset[int] = frozenset()
        self._told = -_TELL_SECONDS

    def room_on(self, port: int) -> int:
        """Operators have a few places more: a flood must not hide itself."""
        return self.room + (_FOR_OPERATORS if port in self.operations_ports else 0)

    def look(self) -> None:
        """Logs when no file can be opened."""
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self.tell("out_of_descriptors")

    def tell(self, event: str) -> None:
        """Logs `event`, at most one event in ten seconds."""
        if time.monotonic() - self._told >= _TELL_SECONDS:
            self._told = time.monotonic()
            log.warning(event, connections_at_most=self.room, descriptors=self._limit)
