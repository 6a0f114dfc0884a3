"""Waiting for something to become true: polled, with a deadline, so that no test sleeps and hopes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

EVERY = 0.02  # seconds between two looks


def eventually(look: Callable[[], T], *, within: float = 10.0, what: str = "") -> T:
    """The first true value that `look` returns.

    Raises:
        AssertionError: when there was none in `within` seconds; says what was seen last.
    """
    end = time.monotonic() + within
    while not (seen := look()):
        if time.monotonic() > end:
            raise AssertionError(f"not in {within:g} s: {what or look.__name__}; seen last: {seen!r}")
        time.sleep(EVERY)
    return seen


async def becomes(look: Callable[[], T], *, within: float = 10.0, what: str = "") -> T:
    """`eventually` for tests whose own event loop has work to do meanwhile."""
    end = time.monotonic() + within
    while not (seen := look()):
        if time.monotonic() > end:
            raise AssertionError(f"not in {within:g} s: {what or look.__name__}; seen last: {seen!r}")
        await asyncio.sleep(EVERY)
    return seen
