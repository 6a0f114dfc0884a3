"""The failures of models: which are retried, which are passed to the fallback model, which cost nothing."""

import re

from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
    UnexpectedModelBehavior,
    UserError,
)

from ..guard import BulkheadFull, CircuitOpen
from ..guard.bodies import too_large
from ..guard.outbound import never_connected

# How servers of Chat Completions say it that have no code for it: llama.cpp, LM Studio, SGLang, TGI, Ollama.
_TOO_LONG = re.compile(r"context.?(?:length|size|window)|(?:prompt|input)\b.{0,40}\btoo (?:long|large)", re.IGNORECASE)
_REQUEST_INVALID = (400, 413, 414, 415, 422, 431)  # other 4xx are about the key, the account or the address


def transient(error: BaseException) -> bool:
    """Whether to retry `error` and count it against the model's health.

    True for no connection, no answer in time, 408, 429, 5xx and an unreadable answer. Waiting does not help when a
    quota is used up.
    """
    if isinstance(error, ModelQuotaExceededError):
        return False
    if isinstance(error, ModelHTTPError):
        return error.status_code in (408, 429) or error.status_code >= 500
    if isinstance(error, ModelRequestRejectedError) or too_large(error):
        return False
    return isinstance(error, ModelAPIError | UnexpectedModelBehavior | TimeoutError | OSError)


def lasts(error: BaseException) -> bool:
    """Whether another attempt, now or in a minute, would fail in the same way."""
    return not transient(error) and not isinstance(error, CircuitOpen | BulkheadFull)


def too_long(error: BaseException) -> bool:
    """Whether the model cannot read as much as it was given."""
    if isinstance(error, ModelHTTPError) and error.status_code in _REQUEST_INVALID and _TOO_LONG.search(str(error)):
        return True
    return isinstance(error, ModelContextWindowExceededError)


def unpaid(error: BaseException) -> bool:
    """Whether no model worked: nothing was sent, or the answer is an error status."""
    return isinstance(error, ModelHTTPError | ModelRequestRejectedError | UserError) or never_connected(error)


def falls_back(error: Exception) -> bool:
    """Whether to try the fallback model. Not for a request that is itself invalid: it would only be paid for twice."""
    refused_us = isinstance(error, ModelAuthenticationError | ModelNotFoundError | ModelQuotaExceededError) or (
        isinstance(error, ModelHTTPError) and error.status_code not in _REQUEST_INVALID
    )
    return refused_us or transient(error) or too_large(error) or isinstance(error, CircuitOpen | BulkheadFull)
