"""The request body of a run, for every HTTP door."""

import re
import uuid
from typing import Annotated, Any

from pydantic import BaseModel, Field, FiniteFloat, model_validator

from ..runs.task import Task
from .auth import Caller

_MOST_FIELDS = 32  # each unknown one is an error of its own, and tens of thousands hold the event loop
MetadataValue = Annotated[str, Field(max_length=256)] | int | FiniteFloat | bool | None


def request_id_of(given: str) -> str:
    """The request id that the client gave, if it is valid; else a new one."""
    return given if re.fullmatch(r"[A-Za-z0-9._-]{1,128}", given) else uuid.uuid4().hex


class RunRequest(BaseModel, extra="forbid", strict=True):
    """A task for the agent."""

    input: str = Field(min_length=1, description="the question, in plain text")
    conversation_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="an id of your choice; send it again to continue the conversation",
    )
    metadata: dict[Annotated[str, Field(max_length=64)], MetadataValue] | None = Field(
        None, max_length=16, description="labels of your own; they appear in the service's log line of this run"
    )

    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, given: Any) -> Any:
        if isinstance(given, dict) and len(given) > _MOST_FIELDS:
            raise ValueError(f"a request has at most {_MOST_FIELDS} fields")
        return given

    def task(self, caller: Caller) -> Task:
        return Task(
            input=self.input,
            tenant=caller.tenant,
            actor=caller.key,
            conversation_id=self.conversation_id,
            metadata=self.metadata or {},
        )
