"""One budget of time for a run, and the share of it that one of its calls may spend."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext

import nopanic
from nopanic import time_remaining

__all__ = ["at_most", "deadline", "share_of_time", "time_remaining"]


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


def share_of_time(share: float) -> AbstractContextManager[object]:
    """Shortens the deadline, if there is one, to `share` of what is left."""
    left = time_remaining()
    return nullcontext() if left is None or share == 1.0 else nopanic.deadline(max(0.001, left * share))
