"""The messages of a chat, in OpenAI's form, and the history that they are for the agent."""

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_core import from_json

from ..errors import InvalidInput
from ..runs.inputs import visible

SYSTEM = ("system", "developer")
TOOL = ("tool", "function")  # `function` is the older form


def _text(content: Any) -> Any:
    """The text of a message's parts. They are joined with a line end: each is a text of its own."""
    return "\n".join(map(_text_of_part, content)) if isinstance(content, list) else content


def _text_of_part(part: Any) -> str:
    match part:
        case {"type": "text", "text": str(text)} | {"type": "refusal", "refusal": str(text)}:
            return text
        case {"type": str(kind)} if kind not in ("text", "refusal"):
            raise ValueError(f"the agent reads text, no part of type {kind[:40]!r}")
    raise ValueError('a part must have the form {"type": "text", "text": "…"}')


_PART = {"type": "object", "properties": {"type": {"enum": ["text"]}, "text": {"type": "string"}}}
Content = Annotated[
    str,
    BeforeValidator(_text),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": _PART | {"required": ["type", "text"]}}]}),
]


class Function(BaseModel, extra="ignore"):
    name: str = Field(min_length=1, max_length=128)
    arguments: str = ""


class ToolCall(BaseModel, extra="ignore"):
    id: str = Field(min_length=1, max_length=128)
    function: Function


class Message(BaseModel, extra="ignore"):
    """A message. Names, ids and hints that chat programs add to it have no effect."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = Field(None, max_length=128)
    tool_call_id: str | None = Field(None, max_length=128)
    function_call: Function | None = None
    name: str | None = Field(None, max_length=128)

    @cached_property
    def text(self) -> str:
        return visible(self.content or self.refusal or "")

    @property
    def calls(self) -> list[ToolCall]:
        older = self.function_call
        return [*(self.tool_calls or []), *([ToolCall(id=older.name, function=older)] if older else [])]

    @property
    def chars(self) -> int:
        return len(self.text) + sum(len(call.function.name + call.function.arguments) for call in self.calls)


def history_of(messages: Iterable[Message]) -> list[ModelMessage]:
    """The messages of users, assistants and tools, as pydantic-ai has them. Empty ones are left out.

    Raises:
        InvalidInput: a call without a tool message after it, or a tool message without its call: providers refuse both.
    """
    history: list[ModelMessage] = []
    open_calls: dict[str, str] = {}  # id → name of the tool
    results: list[ToolReturnPart] = []
    for message in messages:
        if message.role in TOOL:
            call_id = message.tool_call_id or message.name or ""
            if (tool := open_calls.pop(call_id, None)) is None:
                raise InvalidInput("A tool message has no call of its id in the message before.", param="messages")
            results.append(ToolReturnPart(tool, message.text, call_id))
            if not open_calls:
                history.append(ModelRequest(results))
                results = []
            continue
        _check_answered(open_calls)
        calls = [ToolCallPart(call.function.name, _arguments(call), call.id) for call in message.calls]
        text = message.text
        if message.role == "user":
            history += [ModelRequest([UserPromptPart(text)])] if text else []
        elif text or calls:
            history.append(ModelResponse([TextPart(text), *calls] if text else calls))
            open_calls = {call.tool_call_id: call.tool_name for call in calls}
    _check_answered(open_calls)
    return history


def _check_answered(open_calls: dict[str, str]) -> None:
    if open_calls:
        raise InvalidInput("A tool call has no tool message of its id after it.", param="messages")


def _arguments(call: ToolCall) -> dict[str, Any]:
    """The call's arguments. Models also write invalid JSON, which some providers accept in no history."""
    text = visible(call.function.arguments)
    try:
        arguments = from_json(text or "{}", allow_inf_nan=False)
    except ValueError:
        arguments = None
    return arguments if isinstance(arguments, dict) else {"arguments": text}
