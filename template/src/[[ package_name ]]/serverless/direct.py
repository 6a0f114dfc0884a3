"""Direct invocation by callers that IAM allows: the event is the request, the return value the answer or problem."""

from typing import Any

from pydantic import Field, ValidationError

from ..api.auth import Caller
from ..api.idempotency import KEY_PATTERN, run_once
from ..api.problems import body_of, described
from ..api.requests import RunRequest
from ..errors import InvalidInput, ServiceError
from ..service import Service
from .sandbox import Context


class DirectRequest(RunRequest):
    """A run for the tenant that the invoker names."""

    tenant: str = Field("local", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    idempotency_key: str | None = Field(None, pattern=KEY_PATTERN)


async def answer(service: Service, event: Any, context: Context) -> dict[str, Any]:
    """The run's result, or the problem if the request is wrong: to repeat it would not help.

    Raises:
        ServiceError: the failure may be temporary. Lambda and Step Functions try again; an invocation that Lambda
            repeats has the same id, so that the service does not pay for its run twice.
    """
    try:
        return await _answered(service, event, context)
    except ServiceError as error:
        if error.status >= 500:
            raise
        return body_of(error)


async def _answered(service: Service, event: Any, context: Context) -> dict[str, Any]:
    try:
        request = DirectRequest.model_validate(event)
    except ValidationError as error:
        raise InvalidInput(f"Not a run: {described(error.errors())}. Send an object with `input`.") from None
    key = request.idempotency_key or context.aws_request_id
    fingerprint = request.model_dump_json(exclude={"idempotency_key"})
    result, _ = await run_once(service, request.task(Caller("lambda", request.tenant)), key, fingerprint)
    return result.model_dump(mode="json")
