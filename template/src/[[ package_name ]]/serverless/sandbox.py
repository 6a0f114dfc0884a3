"""One execution environment: its event loop and its service, which live from the first invocation to SIGTERM.

An import of this module opens nothing and reads no setting. So a snapshot (SnapStart), which is taken after the
imports, holds no socket, no secret and no clock. The first invocation opens the service.
"""

import asyncio
import gc
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

ANSWER_SECONDS = 1.0  # reserved from an invocation's time for its answer and its telemetry
FLUSH_SECONDS = 0.8  # longest time that an unreachable collector delays the answer


class Context(Protocol):
    """Lambda's context object of an invocation."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int: ...


class Sandbox(Generic[D]):
    """An execution environment, which gets one invocation at a time.

    Args:
        opens: opens the object that the handler works with (its door), given the settings and secrets.
    """

    def __init__(self, opens: Callable[[Secrets], AbstractAsyncContextManager[D]]) -> None:
        self._opens = opens
        gc.freeze()  # the imports are over, and their objects stay: no collection has to look at them
        gc.enable()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stack = AsyncExitStack()
        self._door: D | None = None
        self._flush: Callable[[float], None] = lambda _: None
        self._secrets: Secrets | None = None
        self._read = 0.0
        self._stopping = False

    @contextmanager
    def invocation(self, context: Context) -> Generator[D]:
        """Runs one invocation: deadlines inside end before Lambda's time-out, and telemetry is sent before the return.

        Raises:
            SettingsError: the settings are unusable. The next invocation reads them again.
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
        """The result of `work`, run on the loop of this environment."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(work)

    def _refresh(self) -> None:
        """Reads the secrets again when due: no timer of the service runs while Lambda freezes the environment."""
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
        """Loads settings, starts telemetry, sets the signal handler: once, even if the opening is retried."""
        try:
            settings = loading.load(unusable)
        except loading.SettingsError as error:
            print(f"The configuration cannot be used:\n{error}", file=sys.stderr)  # noqa: T201 no log yet
            raise
        secrets, self._read = Secrets(settings), time.time()
        telemetry = running(NAME, __version__, settings.environment, settings.log_level, secrets.values)
        self._flush = self._stack.enter_context(telemetry)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, lambda *_: self._terminated())
        return secrets

    def _terminated(self) -> None:
        """Handles SIGTERM, which Lambda sends if there is an extension: it ends the environment within two seconds."""
        self._stopping = True
        if self._loop is None or not self._loop.is_running():
            self._end()
        else:
            self._loop.call_soon_threadsafe(self._cancel, self._loop)  # a signal alone would not wake the loop

    @staticmethod
    def _cancel(loop: asyncio.AbstractEventLoop) -> None:
        """Cancels all work. The run books its cost, then the invocation and this process end."""
        for task in asyncio.all_tasks(loop):
            task.cancel()

    def _end(self) -> None:
        with suppress(Exception):  # no caller is left to report to; leases and reservations lapse
            self.run(asyncio.wait_for(self._stack.aclose(), FLUSH_SECONDS))
        sys.stdout.flush()
        os._exit(0)  # not sys.exit, which waits for the runtime's thread, which waits for the next invocation


def _restored() -> None:
    """Seeds again, so that environments from one snapshot do not draw the same jitter."""
    random.seed()


with suppress(ImportError):  # the module is part of Lambda's runtime
    from snapshot_restore_py import register_after_restore

    register_after_restore(_restored)
