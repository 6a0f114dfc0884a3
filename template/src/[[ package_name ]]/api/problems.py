"""Errors as RFC 9457 `application/problem+json`: what any door answers with."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from ..errors import (
    BodyTimeout,
    BodyTooLarge,
    BudgetExceeded,
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
    for kind in (BodyTooLarge, BodyTimeout, BudgetExceeded, Overloaded, RateLimited, SwitchedOff, Unauthenticated)
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Cache-Control": "no-store",
}


def body_of(error: ServiceError) -> dict[str, object]:
    """The problem as a JSON object; `type` says which error it is, `request_id` where to find it in the log."""
    return {
        "type": f"urn:problem:{error.slug}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "request_id": structlog.contextvars.get_contextvars().get("request_id"),
    }


def headers_of(error: ServiceError) -> dict[str, str]:
    """The headers to answer `error` with, `Retry-After` where waiting helps."""
    headers = dict(error.headers)
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def described(errors: Sequence[Mapping[str, Any]]) -> str:
    """What pydantic found wrong, the first ten of it."""
    return "; ".join(": ".join(filter(None, (".".join(map(str, item["loc"])), item["msg"]))) for item in errors[:10])


def count(error: ServiceError) -> None:
    """Counts a refusal, by the reason that the client is told."""
    if error.slug in REFUSALS:
        metrics.REJECTED.add(1, {"reason": error.slug})


def count_from_zero() -> None:
    """A rate needs a zero to rise from."""
    for reason in REFUSALS:
        metrics.REJECTED.add(0, {"reason": reason})
