"""Errors as RFC 9457 `application/problem+json`, for every HTTP door."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from ..errors import (
    BodyEncoded,
    BodyTimeout,
    BodyTooLarge,
    BudgetExceeded,
    Malformed,
    Overloaded,
    RateLimited,
    ServiceError,
    SwitchedOff,
    Unauthenticated,
)
from ..telemetry import metrics

MEDIA_TYPE = "application/problem+json"
REFUSALS = tuple(
    kind.slug
    for kind in (
        BodyEncoded,
        BodyTimeout,
        BodyTooLarge,
        BudgetExceeded,
        Malformed,
        Overloaded,
        RateLimited,
        SwitchedOff,
        Unauthenticated,
    )
)
CLIENTS_WAIT = 60.0  # seconds; clients ignore a longer Retry-After and retry at once
# Pages of other origins may read these: a browser hides all but a few by default.
READABLE_HEADERS = [
    "Idempotency-Replayed",
    "Idempotency-Scope",
    "Location",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
    "x-should-retry",
]
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Cache-Control": "no-store",
}


def body_of(error: ServiceError) -> dict[str, object]:
    """The problem as a JSON object. `type` identifies the error; `request_id` finds it in the log."""
    return {
        "type": f"urn:problem:{error.slug}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "request_id": structlog.contextvars.get_contextvars().get("request_id"),
    }


def headers_of(error: ServiceError) -> dict[str, str]:
    """The response headers for `error`, with `Retry-After` if waiting helps.

    Clients retry 408, 409, 429 and 5xx by themselves, and pay again. `x-should-retry: false` keeps OpenAI's and
    Anthropic's clients from a retry that cannot help: there is nothing to wait for, or the wait is longer than theirs.
    """
    headers = dict(error.headers)
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.retry_after is None or error.retry_after > CLIENTS_WAIT:
        headers["x-should-retry"] = "false"
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def described(errors: Sequence[Mapping[str, Any]]) -> str:
    """pydantic's validation errors as one line; the first ten of them."""
    told = [(".".join(map(str, item["loc"])), item["msg"].removeprefix("Value error, ")) for item in errors[:10]]
    return "; ".join(": ".join(filter(None, parts)) for parts in told)


def count(error: ServiceError) -> None:
    """Counts a refused request by its reason."""
    if error.slug in REFUSALS:
        metrics.REJECTED.add(1, {"reason": error.slug})


def count_from_zero() -> None:
    """Sets every counter to zero: a rate can only be computed from a first value."""
    for reason in REFUSALS:
        metrics.REJECTED.add(0, {"reason": reason})
