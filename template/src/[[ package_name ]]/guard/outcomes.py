"""How a call ended: a label for metrics, and the words of the upstream for the log line and the span."""

import asyncio
from typing import Any

from nopanic import BulkheadFull, CircuitOpen

from ..telemetry import logs

MOST_CHARS = 300


def told(error: BaseException) -> dict[str, Any]:
    """The upstream's status, its own name for the error and its words, secrets masked; empty if there was no answer.

    Reads the attributes that HTTP clients and model SDKs share: `status_code`, `body`, `response`.
    """
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
    if not isinstance(status, int):
        return {}
    body = getattr(error, "body", None)
    if body is None:
        try:
            body = response.text if response is not None else None
        except RuntimeError:  # an answer that was streamed, and not read
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


def outcome_of(error: BaseException | None) -> str:
    """A bounded label for how a call ended."""
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
