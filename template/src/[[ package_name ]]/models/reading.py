"""Reading an answer: an error while the SDK or pydantic-ai reads it is the model's failure, not this service's."""

from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from typing import Self

from pydantic_ai.exceptions import AgentRunError, UnexpectedModelBehavior, UserError
from pydantic_ai.messages import ModelResponseStreamEvent, TextPart
from pydantic_ai.models import StreamedResponse

from ..guard.exchange import Exchange
from .refusals import Unreadable


@contextmanager
def reading(seen: Exchange) -> Generator[None]:
    """Around code that does nothing but read the response of `seen`.

    Raises:
        UnexpectedModelBehavior: something has arrived that the code cannot read.
    """
    try:
        yield
    except Exception as error:
        causes = (error, error.__cause__, error.__cause__ and error.__cause__.__cause__)
        told = next((str(cause) for cause in causes if isinstance(cause, Unreadable)), None)
        known = isinstance(error, AgentRunError | UserError | OSError | StopAsyncIteration)
        if told is None and (known or not seen.received):
            raise
        raise UnexpectedModelBehavior(f"The answer cannot be read: {told or type(error).__name__}.") from error


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
                text = (
                    getattr(said, "content", "") if isinstance(said, TextPart) else getattr(said, "content_delta", "")
                )
                if not isinstance(text, str | None):  # pydantic-ai does not check what the SDK has not checked
                    raise Unreadable(f"its text is a {type(text).__name__}")
            return event
