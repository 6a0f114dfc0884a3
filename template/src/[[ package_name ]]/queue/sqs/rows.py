"""A task in the form that DynamoDB keeps, and the view of it. Times are milliseconds since 1970."""

import time
from dataclasses import dataclass, fields
from typing import Any, Self

from ...errors import ServiceError
from ...runs.task import RunResult
from ..records import Failure, Status, TaskView, moment


@dataclass(frozen=True)
class Row:
    """A stored task."""

    tenant: str
    id: str
    spec: str
    fingerprint: str
    created: str
    created_at: int
    deadline_at: int
    not_before: int = 0
    status: str = "queued"
    attempt: int = 0  # deliveries so far
    takeovers: int = 0
    owner: str = ""  # the lease that it is run under
    lease_until: int = 0  # and until when no other function may run it
    started_at: int = 0
    finished_at: int = 0
    booked: int = 0  # model answers that earlier, broken off attempts have paid for
    usage: str = ""  # and their tokens
    result: str = ""
    error: str = ""
    expires: int = 0  # seconds since 1970, when DynamoDB may delete it

    @classmethod
    def of(cls, item: dict[str, dict[str, str]]) -> Self:
        return cls(**{field.name: plain(item[field.name]) for field in fields(cls) if field.name in item})


def view_of(row: Row, attempts: int) -> TaskView:
    """The task as its owner sees it. A task whose last delivery ended without a word is dead: SQS gives it up, too."""
    status = Status(row.status)
    error = Failure.model_validate_json(row.error) if row.error else None
    if status is Status.RUNNING and row.lease_until < now_ms() and row.attempt >= attempts:
        status = Status.DEAD
        error = Failure(type="urn:problem:worker-lost", detail=f"Its function ended {row.attempt} times.")
    return TaskView(
        id=row.id,
        tenant=row.tenant,
        status=status,
        created_at=moment(row.created_at),
        started_at=moment(row.started_at) if row.started_at else None,
        finished_at=moment(row.finished_at) if row.finished_at else None,
        takeovers=row.takeovers,
        result=RunResult.model_validate_json(row.result) if row.result else None,
        error=error,
    )


def end(status: Status, days: float, *, result: str = "", error: ServiceError | None = None) -> dict[str, str | int]:
    """The attributes of a row whose task ends now; DynamoDB keeps it for so many days."""
    failure = Failure(type=f"urn:problem:{error.slug}", detail=error.detail).model_dump_json() if error else ""
    now = now_ms()
    expires = now // 1000 + int(days * 86_400)
    return {"status": status.value, "result": result, "error": failure, "finished_at": now, "expires": expires}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def typed(value: str | int) -> dict[str, str]:
    """A value in DynamoDB's form."""
    return {"N": str(value)} if isinstance(value, int) else {"S": value}


def plain(attribute: dict[str, str]) -> Any:
    [(kind, value)] = attribute.items()
    return int(value) if kind == "N" else value
