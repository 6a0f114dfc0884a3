"""Models that speak Chat Completions, made to read the answers of servers that are mostly compatible with OpenAI's."""

from functools import cache
from typing import cast

from pydantic_ai.messages import FinishReason
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIStreamedResponse
from pydantic_ai.usage import RequestUsage

from ..guard.rewriting import ModelClient, rewrite
from .guarded import UNSAID
from .wire import streamed, whole


def lenient(model: Model, client: ModelClient) -> Model:
    """`model`, made to accept what such servers send to its `client`, if it speaks Chat Completions."""
    if isinstance(model, OpenAIChatModel):
        model.__class__ = _lenient_model(type(model))
        rewrite(client, "/completions", whole, streamed)
    return model


class _LenientModel(OpenAIChatModel):
    @property
    def _streamed_response_cls(self) -> type[OpenAIStreamedResponse]:
        return _lenient_stream(super()._streamed_response_cls)


class _LenientStream(OpenAIStreamedResponse):
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
