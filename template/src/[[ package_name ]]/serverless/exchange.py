"""A request over HTTP and its answer, for the few routes that a service without the gateway has."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ..api.auth import Caller
from ..api.problems import MEDIA_TYPE, body_of, count, described, headers_of
from ..errors import InvalidInput, ServiceError
from ..service import Service

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Request:
    """What came in, once its key and its limits were looked at; `part` is the last piece of the path."""

    service: Service
    caller: Caller
    part: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def parsed(self, model: type[M]) -> M:
        """Raises:
        InvalidInput: the body is not what the API asks for.
        """
        try:
            return model.model_validate_json(self.body)
        except ValidationError as error:
            raise misfit(error) from None


@dataclass(frozen=True)
class Answer:
    """What goes out."""

    body: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


Handler = Callable[[Request], Awaitable[Answer]]


def misfit(error: ValidationError) -> InvalidInput:
    return InvalidInput(f"The request does not fit the API: {described(error.errors())}")


def problem(error: ServiceError) -> Answer:
    """The answer for `error`; refusals are counted."""
    count(error)
    return Answer(json.dumps(body_of(error)), error.status, headers_of(error), MEDIA_TYPE)
