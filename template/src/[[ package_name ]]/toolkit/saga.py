"""Work in several places, done everywhere or nowhere: a failure undoes the earlier effects.

    async with Saga() as saga:
        await saga.do("book_flight", book_flight, trip, undo=cancel_flight)
        await saga.do("book_hotel", book_hotel, trip, undo=cancel_hotel)

In a durable task the saga survives its worker: another worker continues it, forwards or backwards. `undo` gets the
arguments of its effect. It must be harmless if there is nothing to undo: when the answer of an effect is lost, the
saga cannot know whether the effect happened, and undoes it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog

from . import steps

log = structlog.get_logger(__name__)
T = TypeVar("T")

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.5


class Saga:
    """Effects, each with its undo; undone in reverse order."""

    def __init__(self) -> None:
        self._undo: list[tuple[str, Callable[..., Awaitable[Any]], tuple[Any, ...]]] = []

    async def do(
        self, name: str, effect: Callable[..., Awaitable[T]], *args: Any, undo: Callable[..., Awaitable[Any]]
    ) -> T:
        """The result of `effect(*args)`, recorded as the step `name`; `undo(*args)` reverses it."""
        self._undo.append((f"undo_{name}", undo, args))
        return await steps.step(name, effect, *args)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None or await steps.goes_on(error):
            return
        log.warning("saga_undone", error=type(error).__name__, steps=len(self._undo))
        for name, undo, args in reversed(self._undo):
            await _surely(name, undo, args, recorded=isinstance(error, Exception))


async def _surely(name: str, undo: Callable[..., Awaitable[Any]], args: tuple[Any, ...], *, recorded: bool) -> None:
    """Undoes one effect, with retries. If that fails, logs it and lets the other effects be undone."""

    async def work() -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await undo(*args)
                return
            except Exception:
                if attempt == _ATTEMPTS:
                    log.exception("saga_not_undone", step=name)
                await asyncio.sleep(_PAUSE_SECONDS * attempt)

    await (steps.step(name, work) if recorded else work())
