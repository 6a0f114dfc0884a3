"""From what DBOS knows of a task to what its owner sees."""

from datetime import UTC, datetime

from dbos import WorkflowStatus

from ..runs.task import RunResult
from .records import Failure, Status, TaskView, public_id
from .serial import TaskEnded

# In DBOS' words. `failed` and `dead` are both ERROR; the error says which.
STORED: dict[Status, list[str]] = {
    Status.QUEUED: ["ENQUEUED", "DELAYED"],
    Status.RUNNING: ["PENDING"],
    Status.COMPLETED: ["SUCCESS"],
    Status.FAILED: ["ERROR"],
    Status.DEAD: ["ERROR"],
    Status.CANCELLED: ["CANCELLED"],
}


def view_of(found: WorkflowStatus) -> TaskView:
    status = next(status for status, names in STORED.items() if found.status in names)
    error = None
    if isinstance(found.error, TaskEnded):
        status = Status(found.error.status)
        error = Failure(type=f"urn:problem:{found.error.slug}", detail=found.error.detail)
    elif status is Status.FAILED:
        error = Failure(type="urn:problem:internal", detail="An unexpected error; it is in the log.")
    return TaskView(
        id=public_id(found.workflow_id),
        tenant=found.authenticated_user or "",
        status=status,
        created_at=_time(found.created_at),
        started_at=_time(found.dequeued_at) if found.dequeued_at else None,
        finished_at=_time(found.completed_at) if found.completed_at else None,
        takeovers=max(0, (found.recovery_attempts or 1) - 1),
        result=RunResult.model_validate_json(found.output) if found.output else None,
        error=error,
    )


def _time(milliseconds: int | None) -> datetime:
    return datetime.fromtimestamp((milliseconds or 0) / 1000, UTC)
