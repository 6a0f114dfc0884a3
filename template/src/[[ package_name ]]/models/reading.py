"""Reading an answer: an error while the SDK or pydantic-ai reads it is the model's failure, not this service's."""

from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from typing import Self

from pydantic_ai.exceptions import AgentRunError, UnexpectedModelBehavior, UserError
from pydantic_ai.messages import ModelResponse, ModelResponseStreamEvent, TextPart, TextPartDelta, ToolCallPart
from pydantic_ai.models import StreamedResponse

from ..errors import causes
from ..guard.exchange import Exchange
from .refusals import Unreadable

_TEXTS = ("content", "content_delta", "tool_name", "tool_name_delta", "tool_call_id", "args", "args_delta")
_NEEDED: dict[type, tuple[str, ...]] = {
    TextPart: ("content",),
    TextPartDelta: ("content_delta",),
    ToolCallPart: ("tool_name", "tool_call_id"),
}


@contextmanager
def reading(seen: Exchange) -> Generator[None]:
    """Around code that does nothing but read the response of `seen`.

    Raises:
        UnexpectedModelBehavior: something has arrived that the code cannot read.
    """
    try:
        yield
    except Exception as error:
        told = next((str(cause) for cause in causes(error) if isinstance(cause, Unreadable)), None)
        known = isinstance(error, AgentRunError | UserError | OSError | StopAsyncIteration)
        if told is None and (known or not seen.received):
            raise
        raise UnexpectedModelBehavior(f"The answer cannot be read: {told or type(error).__name__}.") from error


def check(response: ModelResponse, seen: Exchange) -> None:
    """Checks what neither the SDK nor pydantic-ai checks in a whole answer. Some whole answers arrive as a stream.

    Raises:
        Unreadable: a text has another type or half a character, or the stream ended before the answer.
    """
    for part in response.parts:
        _check(part)
    if not isinstance(response.model_name, str):
        response.model_name = None
    if seen.streamed and response.finish_reason is None and "finish_reason" not in (response.provider_details or {}):
        raise Unreadable("its stream stopped before it had ended")


def watch(stream: StreamedResponse, seen: Exchange) -> None:
    """Does the same for the events of a stream, but not for the code that handles them."""
    events = stream._get_event_iterator
    stream._get_event_iterator = lambda: _Events(events(), seen)  # type: ignore[method-assign]


class _Events:
    def __init__(self, events: AsyncIterator[ModelResponseStreamEvent], seen: Exchange) -> None:
        self._events = events
        self._seen = seen

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ModelResponseStreamEvent:
        with reading(self._seen):
            event = await anext(self._events)
            for said in (getattr(event, "part", None), getattr(event, "delta", None)):
                _check(said)
            return event


def _check(said: object) -> None:
    """Checks a part of an answer, or a piece of a part."""
    for name in _TEXTS:
        text = getattr(said, name, None)
        if not isinstance(text, str) and name in _NEEDED.get(type(said), ()):
            raise Unreadable(f"its {name} is of the type {type(text).__name__}")
        if isinstance(text, str) and not _encodable(text):
            raise Unreadable(f"its {name} has half a character")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
