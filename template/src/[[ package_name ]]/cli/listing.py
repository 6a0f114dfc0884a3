"""Lists tasks, page by page."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..queue import Tasks
    from ..queue.records import Status, TaskView

_PAGE = 1000  # tasks that are read at once


async def listed(tasks: "Tasks", tenant: str | None, status: "Status | None", limit: int) -> AsyncGenerator["TaskView"]:
    """Up to `limit` tasks. A page may be short, and even empty, where it looks for a few among many."""
    cursor: str | None = None
    while limit > 0:
        page = await tasks.page(tenant=tenant, status=status, cursor=cursor, limit=min(limit, _PAGE))
        for view in page.tasks:
            yield view
        limit -= len(page.tasks)
        if (cursor := page.next_cursor) is None:
            return
