"""The usage of a model call: the provider's count, or else an estimate from the bytes sent and received."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from pydantic_ai.messages import BaseToolReturnPart, ModelMessage, ModelRequest, ModelResponse, ToolCallPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.usage import RequestUsage

# Details of a usage, which pydantic-ai adds up and stores: how many of its calls are estimated or without a price.
ESTIMATED = "estimated_calls"
UNPRICED = "unpriced_calls"

_MOST_TOKENS = 100_000_000  # of one call; a larger count is an error, and would use up a tenant's budget


def complete(
    response: ModelResponse, name: str, sent: Callable[[], int], bytes_per_token: float, received: int | None = None
) -> None:
    """Completes the usage of `response`: estimates the counts that the provider did not report, and sets the cost.

    Args:
        response: an answer, or the received part of one.
        name: the model's `provider:name`; its price applies if the model that the response names has none.
        sent: returns the request's size in bytes; called only if needed.
        bytes_per_token: of the model's tokenizer.
        received: for an incomplete answer, the bytes received; its reported usage may be incomplete too.
    """
    usage = response.usage
    written = bytes_of(response.parts)
    read_tokens = _told(usage.input_tokens) or _tokens(sent(), bytes_per_token)
    written_tokens = _told(usage.output_tokens) or _tokens(written, bytes_per_token)
    if received is not None:
        written_tokens = max(written_tokens, _tokens(max(written, received), bytes_per_token))
    if received is not None or (read_tokens, written_tokens) != (usage.input_tokens, usage.output_tokens):
        usage = RequestUsage(input_tokens=read_tokens, output_tokens=written_tokens, details={ESTIMATED: 1})
    response.usage = usage
    if usage.cost is None:
        usage.cost = Decimal(0) if name == "offline" else _price(response, name)
    if usage.cost is None:
        usage.details[UNPRICED] = 1


def bytes_sent(messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> int:
    """The size of a request's text: instructions, messages and tools."""
    tools = [*parameters.function_tools, *parameters.output_tools]
    described = [
        json.dumps({"name": tool.name, "description": tool.description, "parameters": tool.parameters_json_schema})
        for tool in tools
    ]
    instructions = [message.instructions for message in messages if isinstance(message, ModelRequest)]
    return (
        sum(bytes_of(message.parts) for message in messages)
        + sum(map(len, described))
        + len((instructions[-1] or "").encode() if instructions else b"")
    )


def bytes_of(parts: Sequence[Any]) -> int:
    """The size of the text in a message's parts; images and other files count as nothing."""
    return sum(len(_text(part).encode(errors="replace")) for part in parts)


def _text(part: Any) -> str:
    if isinstance(part, ToolCallPart):
        args = part.args if isinstance(part.args, str) else json.dumps(part.args, ensure_ascii=False)
        return f"{part.tool_name}{args}"
    if isinstance(part, BaseToolReturnPart):
        return part.model_response_str()
    content = getattr(part, "content", None)
    several = content if isinstance(content, Sequence) and not isinstance(content, str) else [content]
    return "".join(item for item in several if isinstance(item, str))


def _told(tokens: Any) -> int:
    """A provider's count, or 0 if it is no plausible one: not a number, not positive, or too large."""
    return math.ceil(tokens) if isinstance(tokens, int | float) and 0 < tokens < _MOST_TOKENS else 0


def _tokens(size: int, bytes_per_token: float) -> int:
    return math.ceil(size / bytes_per_token)


def _price(response: ModelResponse, name: str) -> Decimal | None:
    """US dollars, at the price of the model that the response names, or else of the configured model."""
    bare = RequestUsage(input_tokens=response.usage.input_tokens, output_tokens=response.usage.output_tokens)
    provider = (response.provider_name, response.provider_url)
    named = (response.model_name, name.partition(":")[2])
    models = [model for model in named if isinstance(model, str) and model and _is_known(model, *provider)]
    for usage in (response.usage, bare):  # details that contradict the counts have no price
        for model in models:
            try:
                return replace(response, model_name=model, usage=usage).cost().total_price
            except (LookupError, ValueError, AssertionError):
                continue  # no price
    return None


@lru_cache(maxsize=256)  # genai-prices looks at all models of a provider before it knows that it has no such model
def _is_known(model: str, provider: str | None, url: str | None) -> bool:
    """Whether genai-prices knows the model."""
    one = RequestUsage(input_tokens=1, output_tokens=1)
    try:
        ModelResponse([], model_name=model, provider_name=provider, provider_url=url, usage=one).cost()
    except LookupError:
        return False
    except (ValueError, AssertionError):
        pass  # it has prices, but none for such a usage
    return True
