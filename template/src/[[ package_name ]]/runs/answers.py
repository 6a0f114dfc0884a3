"""The agent's answer, and how it ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.run import AgentRunResult

from .result import FinishReason


@dataclass(frozen=True)
class AgentAnswer:
    """The agent's answer.

    Args:
        text: the answer's text.
        finish_reason: how the model ended it.
        messages: of the run, history included.
        whole: whether a conversation can continue from it.
    """

    text: str
    finish_reason: FinishReason
    messages: list[ModelMessage]
    whole: bool = True

    @classmethod
    def of(cls, result: AgentRunResult[str]) -> Self:
        return cls(result.output, _reason(result.response), result.all_messages())

    @classmethod
    def cut_off(cls, messages: Sequence[ModelMessage]) -> Self:
        """An answer that reached its token limit before any text, or in the middle of a tool call.

        It is paid for, and a retry would end in the same way.
        """
        last = messages[-1]
        text = last.text if isinstance(last, ModelResponse) else None
        return cls(text or "", "length", list(messages), whole=False)


def _reason(response: ModelResponse) -> FinishReason:
    match response.finish_reason:
        case "length" | "content_filter" as reason:
            return reason
        case _:  # also an output tool's call, and a provider's own word for the end
            return "stop"
