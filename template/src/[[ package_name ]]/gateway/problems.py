"""Every error of the application as a problem, and the problems in its OpenAPI document."""

import json
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from ..api.problems import MEDIA_TYPE, body_of, count, count_from_zero, described, headers_of
from ..errors import InvalidInput, ServiceError


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
        400: "no valid HTTP, or asks for something that this service does not do",
        401: "no valid API key",
        408: "the body did not arrive in time",
        409: "the Idempotency-Key belongs to another body, or its first request is still running",
        413: "the body is too large",
        415: "the body is compressed",
        422: "the input is not acceptable",
        429: "rate limit or budget; `type` says which",
        503: "overloaded, switched off, or no model answers; see Retry-After",
        504: "the run did not finish in time",
    }.items()
}


# Of what may be streamed: an answer is JSON, or server-sent events when they were asked for.
STREAMED_RESPONSES = {**RESPONSES, 200: {"content": {"application/json": {}, "text/event-stream": {}}}}


def response_of(error: ServiceError) -> Response:
    """The response for `error`; refusals are counted."""
    count(error)
    return Response(json.dumps(body_of(error)), error.status, headers_of(error), MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Every error of the app in the one form; none with a stack trace."""
    count_from_zero()

    @app.exception_handler(ServiceError)
    async def known(_: Request, error: ServiceError) -> Response:
        return response_of(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        if error.body and "json" not in request.headers.get("content-type", ""):
            return response_of(InvalidInput("Send the body as JSON, with `Content-Type: application/json`."))
        return response_of(InvalidInput(f"The request does not fit the API: {described(error.errors())}"))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        # FastAPI makes a 400 of whatever ends the reading of a body; the cause is the better answer.
        return response_of(error.__cause__ if isinstance(error.__cause__, ServiceError) else _http_error(error))


def _http_error(error: HTTPException) -> ServiceError:
    class Raised(ServiceError):
        status = error.status_code
        slug = {400: "invalid-input", 404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http-error")
        title = str(error.detail)

    return Raised(str(error.detail), headers=dict(error.headers or {}))
