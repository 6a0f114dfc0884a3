"""One function's right to a task: noted in its row, renewed while it runs, and lost by whoever does not renew it."""

import asyncio
import uuid
from typing import Self

import structlog

from ..errors import ServiceError
from ..queue import meters
from ..queue.records import Status
from ..queue.rows import Row, end, now_ms
from ..queue.table import Table

log = structlog.get_logger(__name__)

SECONDS = 30.0
_RENEW_SECONDS = 10.0
_MINE = "#status = :given_running AND #owner = :given_owner"
# Asked again because the answer was lost: it has ended already, by this very lease.
_MINE_OR_ENDED = "(#status = :given_running OR #status = :given_ended) AND #owner = :given_owner"
_UNCHANGED = "(#status = :given_status AND #lease_until = :given_lease) OR #owner = :given_owner"


class Held(Exception):
    """Another function has the task."""


class Lease:
    """Made by `claim`. What is changed through it is changed only while it holds."""

    def __init__(self, table: Table, row: Row) -> None:
        self.row = row
        self._table = table

    @classmethod
    async def claim(cls, table: Table, row: Row, delivery: int) -> Self:
        """The lease on a task that is as `row` says.

        Raises:
            Held: it is not any more.
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
            attempt=delivery,
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
        """Renews it; returns when that is no longer possible, or was not until it had run out."""
        until = self.row.lease_until
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                renewed = _until()
                if not await self._set(_MINE, {}, lease_until=renewed):
                    return
                until = renewed
            except ServiceError as error:
                log.warning("lease_not_renewed", error=error.slug)
                if now_ms() > until:
                    return

    async def end(self, status: Status, *, result: str = "", error: ServiceError | None = None) -> bool:
        """Whether the task has ended so: not when it was cancelled or taken over meanwhile."""
        values = end(status, self._table.retention_days, result=result, error=error)
        ended = await self._set(_MINE_OR_ENDED, {"ended": status.value}, **values)
        if not ended:
            log.warning("task_let_go")
        return ended

    async def release(self, **values: str | int) -> None:
        """The next delivery may have it at once."""
        await self._set(_MINE, {}, status=Status.QUEUED.value, lease_until=0, **values)

    async def _set(self, when: str, more: dict[str, str | int], **values: str | int) -> bool:
        given = {"running": Status.RUNNING.value, "owner": self.row.owner, **more}
        return await self._table.change(self.row.tenant, self.row.id, when, given, **values) is not None


def _until() -> int:
    return now_ms() + int(SECONDS * 1000)
