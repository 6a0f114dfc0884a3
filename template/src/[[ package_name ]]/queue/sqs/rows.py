"""A task in the form that DynamoDB keeps, and the view of it. Times are milliseconds since 1970."""

import time
from dataclasses import dataclass, fields
from typing import Any, Self

from ...errors import InvalidInput, ServiceError
from ...runs.result import RunResult
from ..records import Failure, Status, TaskView, moment

ROW_BYTES = 380_000  # of a task and its result; the other attributes have the rest of the 400 KB


class WorkerLost(ServiceError):
    slug, title = "worker-lost", "The functions that ran the task died"

    def __init__(self, row: "Row") -> None:
        super().__init__(f"Its function died {row.attempt} times, without progress in between.")


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
    attempt: int = 0  # functions that began it since it last made progress
    takeovers: int = 0
    owner: str = ""  # the lease that it is run under
    lease_until: int = 0  # and until when no other function may run it
    started_at: int = 0
    finished_at: int = 0
    kept: int = 0  # its checkpoints
    kept_before: int = 0  # and those that it had when its last function began
    booked: int = 0  # model answers that earlier, broken off attempts have paid for
    usage: str = ""  # and their tokens
    result: str = ""
    error: str = ""
    expires: int = 0  # seconds since 1970, when DynamoDB may delete it

    @classmethod
    def of(cls, item: dict[str, dict[str, str]]) -> Self:
        return cls(**{field.name: plain(item[field.name]) for field in fields(cls) if field.name in item})

    @property
    def next_attempt(self) -> int:
        """The number of the next attempt. Attempts count from the last progress, or from a retry of a dead task."""
        return 1 if self.kept > self.kept_before or self.status == Status.DEAD else self.attempt + 1

    @property
    def lost(self) -> bool:
        """Whether its function has died, or is frozen."""
        return self.status == Status.RUNNING and self.lease_until < now_ms()


def view_of(row: Row, attempts: int) -> TaskView:
    """The task as its owner sees it: dead once its function died in its last attempt. The next delivery ends it."""
    status = Status(row.status)
    error = Failure.model_validate_json(row.error) if row.error else None
    if row.lost and row.next_attempt > attempts:
        status, lost = Status.DEAD, WorkerLost(row)
        error = Failure(type=f"urn:problem:{lost.slug}", detail=lost.detail)
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


def check_size(limit: int, *texts: str) -> None:
    """Raises:
    InvalidInput: the texts have more bytes together than DynamoDB may be given.
    """
    if (size := sum(len(text.encode()) for text in texts)) > limit:
        raise InvalidInput(f"It has {size:,} bytes; a task may have {limit:,}, because DynamoDB keeps 400 KB an item.")


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
