"""One budget of time for a run, and the share of it that one of its calls may spend."""

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
    """The time that all deadlines inside have to end in, where something outside sets it."""
    return nopanic.deadline(max(0.001, seconds))


@asynccontextmanager
async def deadline(seconds: float) -> AsyncGenerator[None]:
    """One budget of time for everything inside: waits and time-outs shrink to what is left of it.

    Raises:
        TimeoutError: when it is spent.
    """
    if (left := time_remaining()) is not None:
        seconds = min(seconds, left)
    # The guards' own time-outs fire first, so that a hang is counted against whoever hung.
    async with asyncio.timeout(seconds + 0.05), nopanic.deadline(seconds):
        yield


def afterwards(work: Coroutine[Any, Any, T]) -> Awaitable[T]:
    """Does what has to be done in any case: with time of its own, and to its end when who waits for it is cancelled."""
    return asyncio.shield(asyncio.get_running_loop().create_task(work, context=Context()))


def share_of_time(share: float) -> AbstractContextManager[object]:
    """Shortens the deadline, if there is one, to `share` of what is left."""
    left = time_remaining()
    return nullcontext() if left is None or share == 1.0 else nopanic.deadline(max(0.001, left * share))
