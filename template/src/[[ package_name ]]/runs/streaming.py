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

from ..toolkit import Deps
from .hygiene import Cleaner
from .task import Emit


class AnswerStream:
    """Hands the text of the final answer over, cleaned, as it comes."""

    def __init__(self, emit: Emit, cleaner: Cleaner) -> None:
        self._emit = emit
        self._cleaner = cleaner

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
        await self._send("", final=True)

    async def _send(self, text: str, *, final: bool = False) -> None:
        if ready := await self._cleaner.clean(text, final=final):
            await self._emit(ready)
