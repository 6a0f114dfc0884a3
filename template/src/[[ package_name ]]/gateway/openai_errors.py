"""Errors in OpenAI's form, on the paths that OpenAI's clients call: they read no other form.

https://platform.openai.com/docs/guides/error-codes
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from ..errors import (
    BudgetExceeded,
    ContentRefused,
    InputTooLong,
    InvalidInput,
    ModelNotFound,
    RateLimited,
    ServiceError,
    Unauthenticated,
    Unsupported,
)

MISSING = (
    "There is nothing at this path. This service has POST /v1/chat/completions, GET /v1/models and GET /v1/models/{id}."
    " A client's base_url ends with /v1."
)
# Most of OpenAI's resources do not exist here: clients that ask for them, or have another base_url, are told so.
_RESOURCES = (
    "assistants|audio|batches|chat|completions|embeddings|files|fine_tuning|images|models|moderations|realtime|responses"
    "|threads|uploads|vector_stores"
)
_PATHS = re.compile(rf"(/openai(/deployments/[^/]*)?)?(/v1)*/({_RESOURCES})(/.*)?")
# The first class that fits counts. Clients decide by these codes, and by the status.
_CODES: dict[type[ServiceError], str] = {
    BudgetExceeded: "insufficient_quota",
    ContentRefused: "content_filter",
    InputTooLong: "context_length_exceeded",
    InvalidInput: "invalid_value",
    ModelNotFound: "model_not_found",
    RateLimited: "rate_limit_exceeded",
    Unauthenticated: "invalid_api_key",
    Unsupported: "unsupported_parameter",
}


class OpenAIError(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIErrorBody(BaseModel):
    """The body of every error in OpenAI's API."""

    error: OpenAIError


def expected_on(path: str) -> bool:
    """Whether the callers of `path` are OpenAI's clients."""
    return _PATHS.fullmatch(path) is not None


def status_of(error: ServiceError) -> int:
    """OpenAI answers 400 to every invalid request; programs that are written for its API catch that status."""
    return 400 if isinstance(error, InvalidInput) else error.status


def body_of(error: ServiceError) -> dict[str, Any]:
    """The error as a JSON object. OpenAI's clients find the request id in the header `X-Request-Id`."""
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), error.slug.replace("-", "_"))
    told = OpenAIError(message=error.detail, type=_type(error), param=error.param, code=code)
    return OpenAIErrorBody(error=told).model_dump()


def param_of(errors: Sequence[Mapping[str, Any]]) -> str | None:
    """The field of the body that the first validation error is about, such as `messages[0].content`."""
    first = errors[0] if errors else {}
    place, *fields = first.get("loc", ("",))
    if place != "body" or first.get("type") == "json_invalid":
        return None
    return "".join(f"[{field}]" if isinstance(field, int) else f".{field}" for field in fields).lstrip(".") or None


def _type(error: ServiceError) -> str:
    if isinstance(error, BudgetExceeded):
        return "insufficient_quota"
    if isinstance(error, RateLimited):
        return "requests"
    return "server_error" if error.status >= 500 else "invalid_request_error"
