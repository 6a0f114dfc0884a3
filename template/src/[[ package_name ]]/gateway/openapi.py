"""The responses in the OpenAPI document: their statuses, forms and headers."""

from typing import Any

from pydantic import BaseModel

from ..api.problems import MEDIA_TYPE
from .openai_errors import OpenAIErrorBody

Responses = dict[int | str, dict[str, Any]]


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None


_ERRORS = {
    400: "no valid HTTP, or asks for something that this service does not do",
    401: "no valid API key",
    405: "the path does not take this method; see Allow",
    408: "the body did not arrive in time",
    409: "the Idempotency-Key belongs to another body, or its first request is still running",
    413: "the body is too large",
    415: "the body is compressed",
    422: "the input is not acceptable",
    429: "rate limit or budget; the body says which",
    500: "an unexpected error; the log has it under the request id",
    503: "overloaded, switched off, or no model answers; see Retry-After",
    504: "the run did not finish in time",
}
# The connection ends before there is a request id or a body.
_NO_HEAD: Responses = {431: {"description": "the head is too large"}}

_HEADERS: dict[str, dict[str, Any]] = {
    "Idempotency-Replayed": {"description": "true: an earlier request's answer", "schema": {"type": "string"}},
    "Idempotency-Scope": {"description": "process: other replicas do not know the key", "schema": {"type": "string"}},
    "Location": {"description": "where the task's state can be read", "schema": {"type": "string"}},
    "RateLimit-Limit": {"description": "requests a minute", "schema": {"type": "integer"}},
    "RateLimit-Remaining": {"description": "requests that are left", "schema": {"type": "integer"}},
    "RateLimit-Reset": {"description": "seconds until all of them are back", "schema": {"type": "integer"}},
    "Retry-After": {"description": "seconds to wait before a retry", "schema": {"type": "integer"}},
    "X-Request-Id": {"description": "finds the request in the log", "schema": {"type": "string"}},
    "x-should-retry": {"description": "false: a retry cannot help", "schema": {"type": "string"}},
}


def _headers(*names: str) -> dict[str, dict[str, Any]]:
    return {name: _HEADERS[name] for name in ("X-Request-Id", *names)}


def good(*headers: str, status: int = 200, streamed: bool = False) -> Responses:
    """A good response with these headers, besides those of the limits and the request id.

    Args:
        headers: their names.
        status: its status.
        streamed: whether it may be server-sent events.
    """
    told = {"headers": _headers("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", *headers)}
    return {status: told | ({"content": {"text/event-stream": {}}} if streamed else {})}


def _described(status: int) -> dict[str, Any]:
    return {
        "description": _ERRORS.get(status, "there is nothing of this name"),
        "headers": _headers("Retry-After", "x-should-retry"),
    }


def problems(*statuses: int) -> Responses:
    """Errors as RFC 9457 problems."""
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return _NO_HEAD | {status: _described(status) | {"content": content} for status in (*_ERRORS, *statuses)}


def openai_errors(*statuses: int) -> Responses:
    """Errors in OpenAI's form; 422 is 400 there, and `4XX` keeps FastAPI from adding a 422 of its own."""
    known = [status for status in _ERRORS if status != 422]
    form: Responses = {status: _described(status) | {"model": OpenAIErrorBody} for status in (*known, *statuses)}
    return _NO_HEAD | form | {"4XX": form[400] | {"description": "another refusal"}}
