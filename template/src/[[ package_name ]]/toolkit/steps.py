"""Side effects that must not happen again when another process continues a task.

A tool that sends, books or writes something does it through `step`. In a durable task the result is recorded, and a
repeated run gets the recorded result; elsewhere, `step` is a plain call. If a worker dies between the effect and its
record, the effect is repeated: send an idempotency key with it, if the receiver takes one.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Recorder(Protocol):
    """Records steps; a door that runs durable tasks provides one."""

    async def record(self, name: str, effect: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """The recorded result of `effect(*args)`, else its new one."""
        ...

    async def goes_on(self, error: BaseException) -> bool:
        """Whether another process continues the task that `error` interrupts here."""
        ...


recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


async def step(name: str, effect: Callable[..., Awaitable[T]], *args: Any) -> T:
    """The recorded result of `effect(*args)`, else its new one. Results are JSON: text, numbers, lists, dicts."""
    durable = recorder.get()
    result: T = await (durable.record(name, effect, *args) if durable else effect(*args))
    return result


async def goes_on(error: BaseException) -> bool:
    """Whether another process continues the task that `error` interrupts here; then clean up nothing."""
    durable = recorder.get()
    return durable is not None and not isinstance(error, Exception) and await durable.goes_on(error)
