"""The answer's text while it is made."""

from collections.abc import AsyncIterable

from pydantic_ai import RunContext
from pydantic_ai.messages import (
    AgentStreamEvent,
    FinalResultEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)

from ..config.secrets import Secrets
from ..toolkit import Deps
from .sanitize import StreamCleaner
from .task import Emit


class AnswerStream:
    """Hands the text of the final answer over, cleaned, as it comes."""

    def __init__(self, emit: Emit, secrets: Secrets) -> None:
        self._emit = emit
        self._cleaner = StreamCleaner(secrets.values)

    async def handle(self, _: RunContext[Deps], events: AsyncIterable[AgentStreamEvent]) -> None:
        final = False
        async for event in events:
            match event:
                case FinalResultEvent():
                    final = True
                case PartStartEvent(part=TextPart(content=text)) if text:
                    await self._send(text)
                case PartDeltaEvent(delta=TextPartDelta(content_delta=text)) if final:
                    await self._send(text)

    async def finish(self) -> None:
        if rest := self._cleaner.finish():
            await self._emit(rest)

    async def _send(self, text: str) -> None:
        if ready := self._cleaner.feed(text):
            await self._emit(ready)
