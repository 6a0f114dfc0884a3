"""Opens and closes the queue, for a service and for a command."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ...config.settings import Settings
from ...telemetry.audit import Audit
from . import internals
from .database import Database
from .tasks import Tasks

if TYPE_CHECKING:  # they import the agent, which a command does not need
    from ...models.routing import Models
    from ...service import Service


@asynccontextmanager
async def connected(settings: Settings, audit: Audit, models: "Models | None" = None) -> AsyncGenerator[Tasks]:
    """The queue, closed at the end. Without `models` a submission is not checked for their batch API."""
    internals.log_as_everybody()
    database = Database(settings.queue.database_url.get_secret_value())
    try:
        await asyncio.to_thread(database.prepare)
        tasks = Tasks(settings, database, audit, models)
        yield tasks
        tasks.close()
    finally:
        database.close()


@asynccontextmanager
async def open_tasks(service: "Service") -> AsyncGenerator[Tasks]:
    """The queue of a running service."""
    async with connected(service.settings, service.audit, service.runner.models) as tasks:
        yield tasks
