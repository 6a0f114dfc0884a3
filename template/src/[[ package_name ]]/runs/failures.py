"""Translates the exceptions of models, tools and policies into the errors that clients see."""

from pydantic_ai.exceptions import (
    AgentRunError,
    ContentFilterError,
    FallbackExceptionGroup,
    ModelAPIError,
    ModelHTTPError,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
)

from ..errors import (
    BudgetExceeded,
    ContentRefused,
    DeadlineExceeded,
    InputTooLong,
    InvalidInput,
    ModelUnavailable,
    Overloaded,
    ServiceError,
)
from ..guard import BulkheadFull
from ..models.failures import falls_back, lasts, too_long
from ..models.misconfigured import Misconfigured

_NO_TIME = "No answer came in time. Ask for less, or raise RUN__DEADLINE_SECONDS or GUARD__TIMEOUT_SECONDS."


def translated(error: Exception, retry_after: float, *, answered: bool = False) -> ServiceError:
    """The error to answer with.

    Args:
        error: the exception that ended the run.
        retry_after: seconds to wait, used when the exception names none.
        answered: whether the run's last model call gave an answer.
    """
    if isinstance(error, ServiceError):
        return error
    causes = _leaves(error)
    if isinstance(error, UsageLimitExceeded):
        return BudgetExceeded("This run needs more tokens or tool calls than one run may take: ask for less.")
    if any(isinstance(cause, ContentFilterError) for cause in causes):
        return ContentRefused("The model's provider refused this input or its answer.")
    if any(too_long(cause) for cause in causes):
        return InputTooLong("The input and its conversation are longer than the model can read.")
    if answered and isinstance(error, UnexpectedModelBehavior):  # the agent has asked again for itself, and paid
        return ModelUnavailable("The model's answers could not be used.")
    if all(isinstance(cause, TimeoutError) for cause in causes):
        return DeadlineExceeded(_NO_TIME)
    if all(isinstance(cause, BulkheadFull) for cause in causes):
        return Overloaded("Too many calls to the model are in flight.", retry_after=1)
    if advised := [cause for cause in causes if isinstance(cause, Misconfigured)]:
        return ModelUnavailable(advised[0].advice)
    hints = [hint for cause in causes if (hint := getattr(cause, "retry_after", None))]
    wait = min(hints, default=retry_after)
    if any(falls_back(cause) for cause in causes):
        final = {"x-should-retry": "false"} if all(map(lasts, causes)) else None
        return ModelUnavailable("No model is available at the moment.", retry_after=max(1.0, wait), headers=final)
    if isinstance(causes[0], ModelHTTPError | ModelAPIError):
        return InvalidInput("The model's provider refused this request as invalid.")
    if isinstance(causes[0], AgentRunError):
        return ModelUnavailable("The model's answers could not be used.", retry_after=max(1.0, wait))
    return ServiceError("An unexpected error. The service's log has it under this request id.")


def _leaves(error: Exception) -> list[Exception]:
    if isinstance(error, FallbackExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
