"""Every error of the application, in the form that its path promises."""

import json

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from ..api.problems import MEDIA_TYPE, body_of, count, count_from_zero, described, headers_of
from ..errors import InvalidInput, ServiceError
from . import openai_errors


def response_of(error: ServiceError, path: str) -> Response:
    """The response to a request for `path`: an RFC 9457 problem, or OpenAI's form. Refusals are counted."""
    count(error)
    if openai_errors.expected_on(path):
        body, status = openai_errors.body_of(error), openai_errors.status_of(error)
        return Response(json.dumps(body), status, headers_of(error), "application/json")
    return Response(json.dumps(body_of(error)), error.status, headers_of(error), MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Gives every error of the app its form; none shows a stack trace."""
    count_from_zero()

    @app.exception_handler(ServiceError)
    async def known(request: Request, error: ServiceError) -> Response:
        return response_of(error, request.url.path)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        if error.body and "json" not in request.headers.get("content-type", ""):
            refusal = InvalidInput("Send the body as JSON, with `Content-Type: application/json`.")
        else:
            errors = error.errors()
            detail = f"The request does not fit the API: {described(errors)}"
            refusal = InvalidInput(detail, param=openai_errors.param_of(errors))
        return response_of(refusal, request.url.path)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        # FastAPI makes a 400 of every exception that ends the reading of a body; its cause is the better answer.
        cause = error.__cause__
        if error.status_code == 405:
            error.headers = {"Allow": ", ".join(_methods(request))}
        path = request.url.path
        return response_of(cause if isinstance(cause, ServiceError) else _http_error(error, path), path)


def _methods(request: Request) -> list[str]:
    """All methods of the path. Starlette names those of one route."""

    def known(method: str) -> bool:
        return any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)

    return [method for method in ("DELETE", "GET", "PATCH", "POST", "PUT") if known(method)]


def _http_error(error: HTTPException, path: str) -> ServiceError:
    known = {
        404: openai_errors.MISSING if openai_errors.expected_on(path) else "There is nothing at this path.",
        405: f"This path takes {(error.headers or {}).get('Allow')}.",
    }

    class Raised(ServiceError):
        status = error.status_code
        slug = {400: "invalid-input", 404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http-error")
        title = str(error.detail)

    return Raised(known.get(error.status_code, str(error.detail)), headers=dict(error.headers or {}))
