"""What a task is made of: what was asked, as it is stored, and how it stands, as it is shown."""

import hashlib
import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Protocol, Self

from pydantic import BaseModel, Field, FiniteFloat, model_validator

from ..runs.task import RunResult

MetadataValue = Annotated[str, Field(max_length=256)] | int | FiniteFloat | bool | None
Urgency = Literal["normal", "batch"]
TaskId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$")]


class Status(StrEnum):
    """Where a task is. The last four are its end."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    DEAD = "dead"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self not in (Status.QUEUED, Status.RUNNING)


class TaskRequest(BaseModel, extra="forbid"):
    """What a client asks for."""

    input: str = Field(min_length=1, description="what is asked, in plain text")
    conversation_id: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._-]{1,64}$", description="continues, or starts, a conversation"
    )
    metadata: dict[Annotated[str, Field(max_length=64)], MetadataValue] | None = Field(
        None, max_length=16, description="comes back in log lines and events"
    )
    id: TaskId | None = Field(None, description="an id of your choice; submitted twice, it is one task")
    urgency: Urgency = Field(
        "normal", description="batch: can wait up to a day, for about half the price; not in a conversation"
    )
    priority: int = Field(5, ge=1, le=9, description="1 is done first, 9 last, among the tasks of a tenant")
    delay_seconds: float = Field(0, ge=0, le=30 * 86_400, description="not begun before this has passed")
    deadline_seconds: float | None = Field(
        None, gt=0, le=30 * 86_400, description="given up when it is not done this long after it could begin"
    )

    @model_validator(mode="after")
    def _conversations_do_not_wait(self) -> Self:
        if self.urgency == "batch" and self.conversation_id:
            raise ValueError("a conversation goes on in the meantime: leave conversation_id or urgency out")
        return self


class Spec(BaseModel):
    """What is stored of a task: all that a worker needs, whichever door it came through."""

    request: TaskRequest
    tenant: str
    actor: str
    trace: dict[str, str] = {}

    def fingerprint(self) -> str:
        """The same for the same request: an id that is used again must mean the same.

        Of what was said alone, in no order: fields that a later version adds, with a default, change nothing.
        """
        said = self.request.model_dump(mode="json", exclude={"id"}, exclude_defaults=True)
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


class Failure(BaseModel):
    """Why a task has no answer."""

    type: str
    detail: str


class TaskView(BaseModel):
    """A task, as its owner sees it."""

    id: str
    tenant: str
    status: Status
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    takeovers: int = Field(0, description="times it went on in another worker because its own had died")
    result: RunResult | None = None
    error: Failure | None = None


class Page(BaseModel):
    """Some tasks, newest first."""

    tasks: list[TaskView]
    next_cursor: str | None = Field(None, description="give it as `cursor` to go on; null at the end")


def stored_id(tenant: str, task_id: str) -> str:
    """Ids are a tenant's own: another's is not even found."""
    return f"{tenant}/{task_id}"


def public_id(stored: str) -> str:
    return stored.partition("/")[2]


class TaskQueue(Protocol):
    """Tasks as a door sees them, whatever keeps and does them. Each method may raise a ServiceError."""

    async def submit(self, request: TaskRequest, *, tenant: str, actor: str) -> tuple[TaskView, bool]:
        """Stores a task; the task, and whether it was there already."""
        ...

    async def get(self, task_id: str, *, tenant: str) -> TaskView: ...

    async def page(self, *, tenant: str | None, status: Status | None, cursor: str | None, limit: int) -> Page:
        """Some of a tenant's tasks (of all tenants' without one), newest first."""
        ...

    async def cancel(self, task_id: str, *, tenant: str, actor: str) -> TaskView: ...

    async def retry(self, task_id: str, *, tenant: str, actor: str) -> TaskView:
        """Gives a failed or dead task another chance."""
        ...

    async def reachable(self) -> bool: ...
