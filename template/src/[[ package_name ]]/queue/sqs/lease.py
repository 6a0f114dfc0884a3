"""One function's right to a task, noted in the task's row. The function renews it; without renewal it lapses."""

import uuid
from contextlib import suppress
from typing import Self

import structlog

from ...errors import ServiceError, StateUnavailable
from ...runs.lease import kept
from .. import meters
from ..records import Status
from .rows import Row, end, now_ms
from .table import Table

log = structlog.get_logger(__name__)

SECONDS = 30.0
_RENEW_SECONDS = 10.0
_MINE = "#status = :given_running AND #owner = :given_owner"
# When the answer to `end` was lost, it is asked again: then this very lease has ended the task already.
_MINE_OR_ENDED = "(#status = :given_running OR #status = :given_ended) AND #owner = :given_owner"
_UNCHANGED = "(#status = :given_status AND #lease_until = :given_lease) OR #owner = :given_owner"


class Held(Exception):
    """Another function has the task."""


class Lease:
    """Made by `claim`. Changes through it take effect only while it holds."""

    def __init__(self, table: Table, row: Row) -> None:
        self.row = row
        self._table = table

    @classmethod
    async def claim(cls, table: Table, row: Row) -> Self:
        """The lease on a task that is as `row` says.

        Raises:
            Held: the task has changed.
        """
        lost = row.status == Status.RUNNING
        if lost and row.lease_until > now_ms():
            raise Held
        owner = uuid.uuid4().hex
        claimed = await table.change(
            row.tenant,
            row.id,
            _UNCHANGED,
            {"status": row.status, "lease": row.lease_until, "owner": owner},
            status=Status.RUNNING.value,
            owner=owner,
            lease_until=_until(),
            attempt=row.next_attempt,
            kept_before=row.kept,
            takeovers=row.takeovers + lost,
            started_at=row.started_at or now_ms(),
        )
        if claimed is None:
            raise Held
        if lost:
            meters.TAKEOVERS.add(1)
            log.warning("task_taken_over", takeovers=claimed.takeovers)
        return cls(table, claimed)

    async def lost(self) -> None:
        """Renews it. Returns when the task is another function's, or when it could not be renewed in time."""
        left = (self.row.lease_until - now_ms()) / 1000
        await kept(lambda: self._set(_MINE, {}, lease_until=_until()), every=_RENEW_SECONDS, seconds=SECONDS, left=left)

    async def note(self, kept: int) -> None:
        """Notes the number of the task's checkpoints. Without this note, the task's next attempt counts."""
        with suppress(StateUnavailable):
            await self._set(_MINE, {}, kept=kept)

    async def end(self, status: Status, *, result: str = "", error: ServiceError | None = None) -> bool:
        """Ends the task. The result is False when it was cancelled or taken over meanwhile."""
        values = end(status, self._table.retention_days, result=result, error=error)
        ended = await self._set(_MINE_OR_ENDED, {"ended": status.value}, **values)
        if not ended:
            log.warning("task_let_go")
        return ended

    async def release(self, **values: str | int) -> None:
        """Gives the task back: the next delivery may have it at once."""
        await self._set(_MINE, {}, status=Status.QUEUED.value, lease_until=0, **values)

    async def _set(self, when: str, more: dict[str, str | int], **values: str | int) -> bool:
        given = {"running": Status.RUNNING.value, "owner": self.row.owner, **more}
        return await self._table.change(self.row.tenant, self.row.id, when, given, **values) is not None


def _until() -> int:
    return now_ms() + int(SECONDS * 1000)
