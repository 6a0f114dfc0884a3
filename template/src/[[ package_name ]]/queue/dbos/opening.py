"""Opens and closes the queue, for a service and for a command."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog

from ...config.loading import SettingsError
from ...config.settings import Settings
from ...errors import StateUnavailable
from ...telemetry.audit import Audit
from . import internals, schema
from .database import Database, Unreachable
from .refusals import explained
from .tasks import Tasks

if TYPE_CHECKING:  # they import the agent, which a command does not need
    from ...health import Health
    from ...models.routing import Models
    from ...service import Service

log = structlog.get_logger(__name__)
T = TypeVar("T")

_PLACE = "the queue's database"
_PAUSE_SECONDS = 1.0
_LOOK_SECONDS = 5.0  # of a gateway; workers look more often


def database_of(settings: Settings) -> Database:
    """The database of the settings; nothing is opened yet."""
    return Database(settings.queue.database_url.get_secret_value(), settings.queue.max_connections)


def prepare(settings: Settings) -> None:
    """Before the start of a service with valid settings. A database that is away is waited for later.

    Raises:
        SettingsError: the database is not fit for use.
    """
    database = database_of(settings)
    try:
        with suppress(StateUnavailable):
            schema.prepare(database)
    finally:
        database.close()


@asynccontextmanager
async def connected(settings: Settings, audit: Audit, models: "Models | None" = None) -> AsyncGenerator[Tasks]:
    """The queue for a command, closed at the end. Without `models` a submission is not checked for their batch API.

    Raises:
        SettingsError: the database is not fit for use.
        StateUnavailable: it cannot be reached.
    """
    async with _opened(settings, audit, models) as tasks:
        await asyncio.to_thread(schema.check, tasks.database)
        yield tasks


@asynccontextmanager
async def open_tasks(service: "Service") -> AsyncGenerator[Tasks]:
    """The queue of a running service, which has not started before its database answers."""
    async with awaited_tasks(service) as tasks:
        watching = asyncio.create_task(_watch(tasks, service.health))
        try:
            yield tasks
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


@asynccontextmanager
async def awaited_tasks(service: "Service") -> AsyncGenerator[Tasks]:
    """The queue of a service that has not started before `reach` returns."""
    service.health.awaited.add(_PLACE)
    async with _opened(service.settings, service.audit, service.runner.models) as tasks:
        yield tasks


async def reach(tasks: Tasks, health: "Health") -> None:
    """Waits for the database.

    Raises:
        SettingsError: it is there, and not fit for use.
    """
    await once_it_can(partial(asyncio.to_thread, schema.prepare, tasks.database))
    health.reached(_PLACE)


async def once_it_can(work: Callable[[], Awaitable[T]]) -> T:
    """The result of `work`, which is repeated until the database takes it."""
    told = ""
    while True:
        try:
            return await work()
        except (StateUnavailable, Unreachable) as away:
            reason = str(explained(away) if isinstance(away, Unreachable) else away)
        if reason != told:
            log.warning("queue_database_awaited", reason=(told := reason))
        await asyncio.sleep(_PAUSE_SECONDS)


async def _watch(tasks: Tasks, health: "Health") -> None:
    """Reads the depth for the metrics from time to time, also while no worker runs and nobody submits a task."""
    await _reached(tasks, health)
    while True:
        with suppress(StateUnavailable):  # readiness says so
            await tasks.sample()
        await asyncio.sleep(_LOOK_SECONDS)


async def _reached(tasks: Tasks, health: "Health") -> None:
    """Waits as well for a database that is not fit yet: it was away when the start would have been refused."""
    while True:
        try:
            return await reach(tasks, health)
        except SettingsError as unfit:
            log.warning("queue_database_awaited", reason=str(unfit))
            await asyncio.sleep(_PAUSE_SECONDS)


@asynccontextmanager
async def _opened(settings: Settings, audit: Audit, models: "Models | None") -> AsyncGenerator[Tasks]:
    internals.log_as_everybody()
    database = database_of(settings)
    try:
        tasks = Tasks(settings, database, audit, models)
        yield tasks
        tasks.close()
    finally:
        database.close()
