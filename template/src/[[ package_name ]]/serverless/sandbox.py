"""What lives between the invocations of one execution environment: an event loop, and the service opened in it.

Importing this opens nothing and reads no setting: a snapshot (SnapStart) is taken after the imports, and holds no
socket, secret or clock. The first invocation opens the service; what is open then stays until SIGTERM.
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, suppress
from typing import Any, Generic, Protocol, TypeVar

import structlog

from .. import NAME, __version__
from ..config import loading
from ..config.secrets import Secrets
from ..guard import at_most
from ..models.providers import unusable
from ..telemetry import running

log = structlog.get_logger(__name__)
D = TypeVar("D")
R = TypeVar("R")

ANSWER_SECONDS = 1.0  # of an invocation's time, kept for its answer and for the telemetry
FLUSH_SECONDS = 0.8  # a collector that is away does not hold up the answer for longer


class Context(Protocol):
    """What Lambda says of an invocation."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int: ...


class Sandbox(Generic[D]):
    """One execution environment; Lambda sends it one invocation at a time.

    Args:
        opens: what its handler works with, opened with the settings in force.
    """

    def __init__(self, opens: Callable[[Secrets], AbstractAsyncContextManager[D]]) -> None:
        self._opens = opens
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stack = AsyncExitStack()
        self._door: D | None = None
        self._flush: Callable[[float], None] = lambda _: None
        self._secrets: Secrets | None = None
        self._read = 0.0
        self._stopping = False

    @contextmanager
    def invocation(self, context: Context) -> Generator[D]:
        """The time of one invocation: all deadlines inside end before it does, and its telemetry is sent at the end.

        Raises:
            SettingsError: the settings cannot be used. The next invocation reads them again.
        """
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=context.aws_request_id)
        try:
            with at_most(context.get_remaining_time_in_millis() / 1000 - ANSWER_SECONDS):
                if self._door is None:
                    self._door = self._open()
                else:
                    self._refresh()
                yield self._door
        finally:
            self._flush(min(FLUSH_SECONDS, context.get_remaining_time_in_millis() / 1000))
            if self._stopping:
                self._end()

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """What `work` gives, on the loop of this environment."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(work)

    def _refresh(self) -> None:
        """A frozen environment's timers stand still, so that the service's own look at the secrets may be long due."""
        if self._secrets and time.time() - self._read > self._secrets.settings.secrets.refresh_seconds:
            self._read = time.time()
            self.run(self._secrets.refresh())

    def _open(self) -> D:
        if self._secrets is None:
            self._secrets = self._begin()
        door = self.run(self._stack.enter_async_context(self._opens(self._secrets)))
        log.info("opened")
        return door

    def _begin(self) -> Secrets:
        """Settings, telemetry and the signal: once, also when what is opened with them has to be tried again."""
        try:
            settings = loading.load(unusable)
        except loading.SettingsError as error:
            print(f"The configuration cannot be used:\n{error}", file=sys.stderr)  # noqa: T201 there is no log yet
            raise
        secrets, self._read = Secrets(settings), time.time()
        telemetry = running(NAME, __version__, settings.environment, settings.log_level, secrets.values)
        self._flush = self._stack.enter_context(telemetry)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, lambda *_: self._terminated())
        return secrets

    def _terminated(self) -> None:
        """Lambda ends this environment; with an extension it says so up to two seconds before."""
        self._stopping = True
        if self._loop is None or not self._loop.is_running():
            self._end()
        else:
            self._loop.call_soon_threadsafe(self._cancel, self._loop)  # which wakes it: a signal alone does not

    @staticmethod
    def _cancel(loop: asyncio.AbstractEventLoop) -> None:
        """The run is accounted for; then the invocation ends, and with it this process."""
        for task in asyncio.all_tasks(loop):
            task.cancel()

    def _end(self) -> None:
        with suppress(Exception):  # nobody is left to be told, and what it was in the middle of lapses
            self.run(asyncio.wait_for(self._stack.aclose(), FLUSH_SECONDS))
        sys.stdout.flush()
        os._exit(0)  # not sys.exit: the runtime's own thread waits for the next invocation, and would be waited for


def _restored() -> None:
    """Environments that start from one snapshot shall not draw the same jitter."""
    random.seed()


with suppress(ImportError):  # of Lambda's runtime; elsewhere there are no snapshots
    from snapshot_restore_py import register_after_restore

    register_after_restore(_restored)
