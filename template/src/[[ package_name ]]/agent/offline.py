"""The model of the first run and of tests: no key, no network. It converts units and echoes any other input."""

import re
from collections.abc import AsyncIterator

from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

_CONVERSION = re.compile(r"(-?(?<!\d)\d++(?:\.\d++)?)\s*+([a-z]++)\s++(?:to|in|into)\s+([a-z]+)", re.IGNORECASE)


def answer(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    """A tool call for `12 km to miles`, then a sentence with the tool's result; an echo for any other input."""
    parts = messages[-1].parts
    for part in parts:
        if isinstance(part, ToolReturnPart) and isinstance(messages[-2], ModelResponse):
            call = messages[-2].tool_calls[-1].args_as_dict()
            if isinstance(part.content, float):
                text = f"{call['value']:g} {call['source']} is {part.content:g} {call['target']}."
            else:  # the tool refused its arguments
                text = f"I cannot convert {call['source']} to {call['target']}."
            return ModelResponse([TextPart(text)])
    asked = " ".join(
        part.content for part in parts if isinstance(part, UserPromptPart) and isinstance(part.content, str)
    )
    if found := _CONVERSION.search(asked):
        value, source, target = found.groups()
        arguments = {"value": float(value), "source": source.lower(), "target": target.lower()}
        return ModelResponse([ToolCallPart("convert_units", arguments)])
    return ModelResponse([TextPart(f"I am the offline model (set MODEL__PRIMARY for a real one). You asked: {asked}")])


async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
    """The same answer, word by word."""
    for part in answer(messages, info).parts:
        if isinstance(part, ToolCallPart):
            yield {0: DeltaToolCall(name=part.tool_name, json_args=part.args_as_json_str())}
        elif isinstance(part, TextPart):
            for word in re.findall(r"\S+\s*", part.content):
                yield word


def offline_model() -> FunctionModel:
    async def reply(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return answer(messages, info)  # async, because pydantic-ai runs a plain function in a thread

    return FunctionModel(reply, stream_function=stream, model_name="offline")
