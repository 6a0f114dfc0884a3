"""Bounded queues before outputs that may be slow, full or closed: standard output, and the audit trail's file.

A run puts its line into the queue and goes on. A thread writes the lines; a full queue drops and counts new ones.
"""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Generic, TypeVar

from . import metrics

T = TypeVar("T")
MOST = 10_000  # waiting entries
MOST_BYTES = 8 * 1024 * 1024
STUCK_SECONDS = 2.0  # a write that takes longer counts as trouble
_RETRY_SECONDS = 0.5
_GATHER_SECONDS = 0.002  # the thread wakes once for the lines of this time: waking for each costs more than writing it


class Sink(Generic[T]):
    """Writes entries in order, in its own thread.

    Args:
        name: the metric label of its dropped entries.
        write: writes one entry, or raises OSError.
        retries: whether to retry an entry whose write failed; otherwise it is dropped and counted.
    """

    def __init__(self, name: str, write: Callable[[T], None], *, retries: bool) -> None:
        self._name, self._write, self._retries = name, write, retries
        self._entries: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._wake, self._idle = threading.Event(), threading.Event()
        self._idle.set()
        self._began: float | None = None  # time.monotonic() at the start of the current write
        self._refused = ""
        self._process = 0
        self._closed = False

    def put(self, entry: T, size: int) -> None:
        """Queues an entry of `size` bytes; never waits."""
        with self._lock:
            room = len(self._entries) < MOST and self._bytes + size <= MOST_BYTES
            if room:
                self._entries.append((entry, size))
                self._bytes += size
                self._idle.clear()
            if room and self._process != os.getpid():  # a thread does not survive a fork
                self._process = os.getpid()
                threading.Thread(target=self._work, name=f"{self._name}-sink", daemon=True).start()
        if room:
            self._wake.set()
        else:
            metrics.SINK_DROPPED.add(1, {"sink": self._name})

    @property
    def trouble(self) -> str:
        """The reason why no entries can be written at present; empty if they can."""
        if self._refused:
            return self._refused
        began = self._began
        if began is not None and time.monotonic() - began > STUCK_SECONDS:
            return f"no write has ended for {STUCK_SECONDS:g} s"
        return ""

    def flush(self, seconds: float) -> bool:
        """Waits until all entries are written, for at most `seconds`; False if some are left."""
        return self._idle.wait(seconds)

    def close(self, seconds: float) -> bool:
        """Like `flush`; then the thread ends."""
        done = self.flush(seconds)
        self._closed = True
        self._wake.set()
        return done

    def _work(self) -> None:
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            if not self._closed:
                time.sleep(_GATHER_SECONDS)
            while self._entries and not self._closed:
                self._next()
            with self._lock:
                if not self._entries:
                    self._idle.set()

    def _next(self) -> None:
        entry, size = self._entries[0]
        self._began = time.monotonic()
        try:
            self._write(entry)
        except OSError as error:
            self._refused = str(error)
            if self._retries:
                self._began = None
                time.sleep(_RETRY_SECONDS)
                return
            metrics.SINK_DROPPED.add(1, {"sink": self._name})
        else:
            self._refused = ""
        self._began = None
        with self._lock:
            self._entries.popleft()
            self._bytes -= size


class Output:
    """Standard output as a stream that never blocks, for `logging` and the audit trail."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._cut = False  # in the middle of a line
        self.sink: Sink[str] = Sink("stdout", self._all, retries=False)

    def write(self, text: str) -> int:
        self.sink.put(text, len(text))
        return len(text)

    def flush(self) -> None:
        """Does nothing: the sink's thread writes within milliseconds."""

    def _all(self, text: str) -> None:
        # Invalid Unicode becomes an escape, which JSON has too: no line is lost or cut.
        left = memoryview((("\n" if self._cut else "") + text).encode(errors="backslashreplace"))
        while left:
            left = left[os.write(self._descriptor, left) :]
            self._cut = bool(left)


@cache
def stdout() -> Output:
    """The standard output of this process."""
    return Output(sys.__stdout__.fileno() if sys.__stdout__ else 1)
