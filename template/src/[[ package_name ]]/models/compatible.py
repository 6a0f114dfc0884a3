"""Servers that are mostly compatible with OpenAI's Chat Completions: how they report usage and the end of a stream.

A usage in another form than OpenAI's neither loses an answer nor is counted twice.
"""

from collections.abc import AsyncIterator
from functools import cache
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_ai.messages import FinishReason
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIStreamedResponse
from pydantic_ai.usage import RequestUsage

from .guarded import UNSAID


def lenient(model: Model) -> Model:
    """`model`, made to accept the usage that servers send if it speaks Chat Completions."""
    if isinstance(model, OpenAIChatModel):
        model.__class__ = _lenient_model(type(model))
    return model


class _LenientModel(OpenAIChatModel):
    def _validate_completion(self, response: Any) -> Any:
        response.usage = _readable(response.usage)
        return super()._validate_completion(response)

    @property
    def _streamed_response_cls(self) -> type[OpenAIStreamedResponse]:
        return _lenient_stream(super()._streamed_response_cls)


class _LenientStream(OpenAIStreamedResponse):
    async def _validate_response(self) -> AsyncIterator[Any]:
        async for chunk in super()._validate_response():
            chunk.usage = _readable(chunk.usage)
            yield chunk

    def _missing_finish_reason(self) -> FinishReason:
        setattr(self, UNSAID, True)
        return super()._missing_finish_reason()

    def _add_usage(self, usage: RequestUsage, *, reported: bool, cumulative: bool = False) -> None:
        # A usage in each chunk is the total so far, as vLLM (continuous_usage_stats), xAI and others send it.
        if reported:
            super()._add_usage(usage, reported=True, cumulative=True)


@cache
def _lenient_model(kind: type[OpenAIChatModel]) -> type[OpenAIChatModel]:
    return cast(type[OpenAIChatModel], type(kind.__name__, (_LenientModel, kind), {}))


@cache
def _lenient_stream(kind: type[OpenAIStreamedResponse]) -> type[OpenAIStreamedResponse]:
    return cast(type[OpenAIStreamedResponse], type(kind.__name__, (_LenientStream, kind), {}))


def _readable(usage: Any) -> Any:
    """`usage` if it has OpenAI's form, or else its readable counts, if there are any."""
    if not isinstance(usage, BaseModel):
        return None  # not an object: the SDK turns every object into its own type
    told = usage.model_dump(warnings=False)
    try:
        return type(usage).model_validate(told)
    except ValidationError:
        prompt, completion = (_count(told.get(name)) for name in ("prompt_tokens", "completion_tokens"))
        if not prompt and not completion:
            return None
        counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        return type(usage).model_validate(counts)


def _count(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < float("inf") else 0
