"""Side effects that must not happen again when a task goes on in another process.

A tool that sends, books or writes something does it through `step`. In a durable task the result is recorded, and a
repeated run gets the record; elsewhere it is a plain call. A worker that dies between the effect and the record
repeats the effect: hand the receiver an idempotency key of the task's, where it takes one.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Recorder(Protocol):
    """What a door that runs tasks durably brings."""

    async def record(self, name: str, effect: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """The result of `effect(*args)`, or the recorded one."""
        ...

    async def goes_on(self, error: BaseException) -> bool:
        """Whether the task that `error` breaks off here goes on in another process."""
        ...


recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


async def step(name: str, effect: Callable[..., Awaitable[T]], *args: Any) -> T:
    """The result of `effect(*args)`, or the recorded one. Results are JSON: text, numbers, lists, dictionaries."""
    durable = recorder.get()
    result: T = await (durable.record(name, effect, *args) if durable else effect(*args))
    return result


async def goes_on(error: BaseException) -> bool:
    """Whether what `error` breaks off here goes on in another process; then nothing may be cleaned up behind it."""
    durable = recorder.get()
    return durable is not None and not isinstance(error, Exception) and await durable.goes_on(error)
