"""The errors of the service, named after the reaction they call for. Each knows its HTTP form (RFC 9457)."""

from collections.abc import Iterator
from typing import ClassVar


def causes(error: BaseException | None, *, contexts: bool = False) -> Iterator[BaseException]:
    """An error and what caused it, each once: an error may be its own cause.

    With `contexts`, an error without a cause leads to the one that was handled when it was raised.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (error.__context__ if contexts else None)


class ServiceError(Exception):
    """A failure with a known cause. `detail` is shown to the client; it never holds a secret or a stack trace."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong"

    def __init__(
        self,
        detail: str,
        *,
        retry_after: float | None = None,
        headers: dict[str, str] | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after  # seconds
        self.headers = headers or {}  # of the HTTP response
        self.param = param  # the field of the request that is wrong


class InvalidInput(ServiceError):
    status, slug, title = 422, "invalid-input", "The input is not acceptable"


class InputTooLong(InvalidInput):
    """The input is longer than the service accepts or the model reads."""


class ContentRefused(InvalidInput):
    """A provider's content filter refused the input or the answer."""


class Unsupported(ServiceError):
    status, slug, title = 400, "unsupported", "The request asks for something this service does not do"


class Malformed(ServiceError):
    status, slug, title = 400, "malformed-request", "The request is not valid HTTP"


class BodyEncoded(ServiceError):
    status, slug, title = 415, "body-encoded", "The request's body is compressed"


class BodyTooLarge(ServiceError):
    status, slug, title = 413, "body-too-large", "The request's body is too large"


class BodyTimeout(ServiceError):
    status, slug, title = 408, "body-timeout", "The request's body did not arrive in time"


class Unauthenticated(ServiceError):
    status, slug, title = 401, "unauthenticated", "A valid API key is needed"


class Forbidden(ServiceError):
    status, slug, title = 403, "forbidden", "The key does not allow this"


class NotFound(ServiceError):
    status, slug, title = 404, "not-found", "Not found"


class ModelNotFound(NotFound):
    """There is no model of this name."""


class Conflict(ServiceError):
    status, slug, title = 409, "conflict", "The request conflicts with an earlier one"


class RateLimited(ServiceError):
    status, slug, title = 429, "rate-limit-exceeded", "Too many requests"


class BudgetExceeded(ServiceError):
    status, slug, title = 429, "budget-exceeded", "The token or cost budget is used up"


class Overloaded(ServiceError):
    status, slug, title = 503, "overloaded", "The service is at its capacity"


class SwitchedOff(ServiceError):
    status, slug, title = 503, "switched-off", "The service is switched off"


class ModelUnavailable(ServiceError):
    status, slug, title = 503, "model-unavailable", "No model can answer now"


class StateUnavailable(ServiceError):
    status, slug, title = 503, "state-unavailable", "The state store cannot be reached"


class AuditUnavailable(ServiceError):
    status, slug, title = 503, "audit-unavailable", "The audit trail cannot be written"


class DeadlineExceeded(ServiceError):
    status, slug, title = 504, "deadline-exceeded", "The run did not finish in time"
