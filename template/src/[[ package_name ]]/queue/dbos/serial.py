"""The stored form of inputs and results: JSON, not pickle. People and the next version can read it; it runs no code."""

import json
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from dbos import Serializer
from pydantic import TypeAdapter

from ...errors import ServiceError
from ..records import Failure

if TYPE_CHECKING:  # here and below: a command that shows tasks does not wait for the agent's runtime
    from pydantic_ai.messages import ModelResponse


class TaskEnded(Exception):
    """A task has ended without an answer.

    Args:
        status: `failed`, when another attempt would fail in the same way, or `dead`, when one may succeed later.
        slug: the error, see errors.py.
        detail: the sentence that the task's owner reads.
    """

    FAILED: ClassVar = "failed"
    DEAD: ClassVar = "dead"

    def __init__(self, status: str, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail

    @property
    def failure(self) -> Failure:
        """The form in which the task's owner gets it."""
        return Failure(type=f"urn:problem:{self.slug}", detail=self.detail)


class JsonSerializer(Serializer):
    """Stores a pair of a type and a value. Only the outermost type is kept; inside it everything is plain JSON."""

    NAME: ClassVar = "json"

    def name(self) -> str:
        return self.NAME

    def serialize(self, data: Any) -> str:
        try:
            text = json.dumps(_typed(data), default=_inside, ensure_ascii=False, separators=(",", ":"))
        except TypeError as error:
            raise TypeError(f"{error}: give steps and tasks text, numbers, lists or dictionaries") from None
        # Models and tools may give half of a surrogate pair, which no database takes. It becomes an escape of JSON.
        return text.encode("utf-8", "backslashreplace").decode()

    def deserialize(self, serialized_data: str) -> Any:
        kind, value = json.loads(serialized_data)
        match kind:
            case "time":
                return datetime.fromisoformat(value)
            case "ended":
                return TaskEnded(**value)
            case "error":
                return _service_error(**value)
            case "response" | "retry" | "tool failed":
                return _of_a_run(kind, value)
            case _:
                return value


def _inside(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()  # it comes back as text
    raise TypeError(f"no JSON for {type(value).__name__}")


def _typed(value: object) -> tuple[str, object]:
    match value:
        case datetime():
            return "time", value.isoformat()
        case TaskEnded():
            return "ended", {"status": value.status, "slug": value.slug, "detail": value.detail}
        case str() | int() | float() | list() | tuple() | dict() | None:
            return "json", value
        case _:
            return _typed_of_a_run(value)


def _of_a_run(kind: str, value: Any) -> object:
    from pydantic_ai import ModelRetry, ToolFailed

    if kind == "response":
        return _responses().validate_python(value)
    return ModelRetry(value) if kind == "retry" else ToolFailed(value)


@cache
def _responses() -> "TypeAdapter[ModelResponse]":
    from pydantic_ai.messages import ModelResponse

    return TypeAdapter(ModelResponse)


def _typed_of_a_run(value: object) -> tuple[str, object]:
    from pydantic_ai import ModelRetry, ToolFailed
    from pydantic_ai.messages import ModelResponse

    from ...runs.failures import translated

    match value:
        case ModelResponse():
            return "response", _responses().dump_python(value, mode="json")
        case ModelRetry():
            return "retry", value.message
        case ToolFailed():
            return "tool failed", str(value)
        case Exception():
            known = translated(value, 1)
            return "error", {"slug": known.slug, "detail": known.detail, "retry_after": known.retry_after}
        case _:
            return "json", value


def _service_error(slug: str, detail: str, retry_after: float | None) -> ServiceError:
    kind = next((kind for kind in ServiceError.__subclasses__() if kind.slug == slug), ServiceError)
    return kind(detail, retry_after=retry_after)
