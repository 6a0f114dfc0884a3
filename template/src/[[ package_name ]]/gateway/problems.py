"""Errors as RFC 9457 `application/problem+json`."""

import json
import math
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from ..errors import (
    BodyTimeout,
    BodyTooLarge,
    BudgetExceeded,
    InvalidInput,
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


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
    for status, description in {
        400: "asks for something that this service does not do",
        401: "no valid API key",
        408: "the body did not arrive in time",
        409: "the Idempotency-Key belongs to another body, or its first request is still running",
        413: "the body is too large",
        422: "the input is not acceptable",
        429: "rate limit or budget; `type` says which",
        503: "overloaded, switched off, or no model answers; see Retry-After",
        504: "the run did not finish in time",
    }.items()
}


# Of what may be streamed: an answer is JSON, or server-sent events when they were asked for.
STREAMED_RESPONSES = {**RESPONSES, 200: {"content": {"application/json": {}, "text/event-stream": {}}}}


def body_of(error: ServiceError) -> dict[str, object]:
    """The problem as a JSON object; `type` says which error it is, `request_id` where to find it in the log."""
    return {
        "type": f"urn:problem:{error.slug}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "request_id": structlog.contextvars.get_contextvars().get("request_id"),
    }


def response_of(error: ServiceError) -> Response:
    """The response for `error`, with `Retry-After` where waiting helps; refusals are counted."""
    if error.slug in REFUSALS:
        metrics.REJECTED.add(1, {"reason": error.slug})
    headers = dict(error.headers)
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(json.dumps(body_of(error)), error.status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Every error of the app in the one form; none with a stack trace."""
    for reason in REFUSALS:
        metrics.REJECTED.add(0, {"reason": reason})  # a rate needs a zero to rise from

    @app.exception_handler(ServiceError)
    async def known(_: Request, error: ServiceError) -> Response:
        return response_of(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:10])
        return response_of(InvalidInput(f"The request does not fit the API: {wrong}"))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        # FastAPI makes a 400 of whatever ends the reading of a body; the cause is the better answer.
        return response_of(error.__cause__ if isinstance(error.__cause__, ServiceError) else _http_error(error))


def _http_error(error: HTTPException) -> ServiceError:
    class Raised(ServiceError):
        status = error.status_code
        slug = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http-error")
        title = str(error.detail)

    return Raised(str(error.detail), headers=dict(error.headers or {}))
