"""The outcome of a call: a label for metrics, and the upstream's error message for the log line and the span."""

import asyncio
from typing import Any

import httpx2
from nopanic import BulkheadFull, CircuitOpen

from ..errors import causes
from ..telemetry import logs

MOST_CHARS = 300


def told(error: BaseException) -> dict[str, Any]:
    """The upstream's status, error type and error message, or the reason why there is no status; secrets masked.

    Reads the attributes that HTTP clients and model SDKs share: `status_code`, `body`, `response`, `message`.
    """
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
    if not isinstance(status, int):
        return _reason(error)
    body = getattr(error, "body", None)
    if body is None:
        try:
            body = response.text if response is not None else None
        except RuntimeError:  # a streamed response whose body was not read
            body = None
    facts: dict[str, Any] = {"upstream_status": status}
    details = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(details, dict):
        kind = details.get("code") or details.get("type") or details.get("status")
        facts |= {"upstream_error": logs.masked(str(kind))[:MOST_CHARS]} if kind else {}
        details = details.get("message", details)
    if details:
        facts["upstream_said"] = logs.masked(str(details))[:MOST_CHARS]
    return facts


def _reason(error: BaseException) -> dict[str, str]:
    """The words of the connection's error, or else of the SDK's. Other causes may quote the model's answer."""
    words = getattr(error, "message", None)
    for cause in causes(error):
        words = (isinstance(cause, OSError | httpx2.HTTPError) and str(cause)) or words
    return {"reason": logs.masked(words)[:MOST_CHARS]} if isinstance(words, str) and words else {}


def outcome_of(error: BaseException | None) -> str:
    """A bounded label for the outcome of a call."""
    match error:
        case None:
            return "ok"
        case asyncio.CancelledError() | GeneratorExit():
            return "cancelled"
        case CircuitOpen() | BulkheadFull():
            return "rejected"
        case TimeoutError():
            return "timeout"
        case _:
            return "error"
