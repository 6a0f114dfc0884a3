"""Side effects that must not happen again when a task goes on in another process.

A tool that sends, books or writes something does it through `step`. In a durable task the result is recorded, and a
repeated run gets the record; elsewhere it is a plain call. A worker that dies between the effect and the record
repeats the effect: hand the receiver an idempotency key of the task's, where it takes one.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")
Recorder = Callable[..., Awaitable[Any]]

recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


async def step(name: str, effect: Callable[..., Awaitable[T]], *args: Any) -> T:
    """The result of `effect(*args)`, or the recorded one. Results are JSON: text, numbers, lists, dictionaries."""
    record = recorder.get()
    result: T = await (record(name, effect, *args) if record else effect(*args))
    return result
