"""Waits for conditions by polling with a deadline, so that no test relies on a sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

EVERY = 0.02  # seconds between two polls


def eventually(look: Callable[[], T], *, within: float = 10.0, what: str = "") -> T:
    """The first true value that `look` returns.

    Raises:
        AssertionError: there was none within `within` seconds; the message has the last value.
    """
    end = time.monotonic() + within
    while not (seen := look()):
        if time.monotonic() > end:
            raise AssertionError(f"not in {within:g} s: {what or look.__name__}; seen last: {seen!r}")
        time.sleep(EVERY)
    return seen


async def becomes(look: Callable[[], T], *, within: float = 10.0, what: str = "") -> T:
    """`eventually`, for tests whose event loop must run meanwhile."""
    end = time.monotonic() + within
    while not (seen := look()):
        if time.monotonic() > end:
            raise AssertionError(f"not in {within:g} s: {what or look.__name__}; seen last: {seen!r}")
        await asyncio.sleep(EVERY)
    return seen
