"""The result of a run, as callers get it and as stores keep it. Imports no agent: commands read results as well."""

from typing import Literal

from pydantic import BaseModel, Field

FinishReason = Literal["stop", "length", "content_filter"]


class Usage(BaseModel):
    """Tokens and cost of all model calls of a run, whether they ended in an answer or not."""

    input_tokens: int
    output_tokens: int
    cost_usd: float | None = Field(description="null if the price of a model is unknown")
    estimated: bool = Field(False, description="a part of it is not the providers' own count")


class RunResult(BaseModel):
    """The answer to a task."""

    id: str
    output: str
    model: str
    usage: Usage
    finish_reason: FinishReason = Field(
        "stop", description="how the model ended: by itself, at a token limit, at the provider's filter"
    )
    degraded: bool = False
    cached: bool = False
    conversation_id: str | None = None

    @property
    def outcome(self) -> str:
        return "degraded" if self.degraded else "ok"
