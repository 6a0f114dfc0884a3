"""The deadline of a run, and the share of the remaining time that one call may spend."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from contextvars import Context
from typing import Any, TypeVar

import nopanic
from nopanic import time_remaining

T = TypeVar("T")

__all__ = ["afterwards", "at_most", "deadline", "share_of_time", "time_remaining"]


def at_most(seconds: float) -> AbstractContextManager[object]:
    """Caps all deadlines inside at `seconds`; for a limit that the platform sets."""
    return nopanic.deadline(max(0.001, seconds))


@asynccontextmanager
async def deadline(seconds: float) -> AsyncGenerator[None]:
    """Sets a deadline for everything inside: waits and time-outs shrink to the remaining time.

    Raises:
        TimeoutError: the deadline has passed.
    """
    if (left := time_remaining()) is not None:
        seconds = min(seconds, left)
    # The guards' own time-outs fire first, so that a hang counts against the dependency that hung.
    async with asyncio.timeout(seconds + 0.05), nopanic.deadline(seconds):
        yield


def afterwards(work: Coroutine[Any, Any, T]) -> Awaitable[T]:
    """Runs clean-up work to its end: outside the deadline, and even if the waiting task is cancelled."""
    return asyncio.shield(asyncio.get_running_loop().create_task(work, context=Context()))


def share_of_time(share: float) -> AbstractContextManager[object]:
    """Shortens the deadline, if there is one, to `share` of the remaining time."""
    left = time_remaining()
    return nullcontext() if left is None or share == 1.0 else nopanic.deadline(max(0.001, left * share))
