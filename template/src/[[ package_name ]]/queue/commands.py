"""The queue's commands. They talk to the database itself, as an operator does; clients of the service use HTTP."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from ..errors import ServiceError
from ..secrets import Secrets
from ..settings import Settings
from ..telemetry import logs
from ..telemetry.audit import Audit
from ..terminal import fail, operator, settings, telemetry_of

if TYPE_CHECKING:
    from ..models import Models
    from .records import TaskView
    from .tasks import Tasks  # importing DBOS takes a second, which only these commands shall cost

queue_app = typer.Typer()
dead_app = typer.Typer(help="Tasks that were given up: see them, give them another chance.", no_args_is_help=True)
queue_app.add_typer(dead_app, name="dead")

Tenant = Annotated[str, typer.Option(help="whose task it is")]
T = TypeVar("T")


@queue_app.command()
def work() -> None:
    """Runs a worker until stopped."""
    secrets = Secrets(settings())
    from .worker import work as run_worker

    with telemetry_of(secrets):
        run_worker(secrets)


@queue_app.command()
def submit(
    text: str,
    tenant: Tenant = "local",
    id: Annotated[str | None, typer.Option(help="an id of your choice; used twice, it is one task")] = None,
    urgency: Annotated[
        Literal["normal", "batch"], typer.Option(help="batch: may wait up to a day, for about half the price")
    ] = "normal",
    priority: Annotated[int, typer.Option(min=1, max=9, help="1 is done first")] = 5,
    delay: Annotated[float, typer.Option(min=0, help="seconds before it may begin")] = 0,
    wait: Annotated[bool, typer.Option(help="until it has ended")] = False,
) -> None:
    """Stores a task with TEXT for a worker."""

    async def run(tasks: "Tasks") -> "TaskView":
        from .records import TaskRequest

        request = TaskRequest(input=text, id=id, urgency=urgency, priority=priority, delay_seconds=delay)
        view, _ = await tasks.submit(request, tenant=tenant, actor=operator())
        while wait and not view.status.final:
            await asyncio.sleep(0.2)
            view = await tasks.get(view.id, tenant=tenant)
        return view

    _show(_with_tasks(run, with_models=urgency == "batch"))


@queue_app.command()
def status(id: str, tenant: Tenant = "local") -> None:
    """How the task ID stands."""
    _show(_with_tasks(lambda tasks: tasks.get(id, tenant=tenant)))


@queue_app.command()
def cancel(id: str, tenant: Tenant = "local") -> None:
    """Ends the task ID."""
    _show(_with_tasks(lambda tasks: tasks.cancel(id, tenant=tenant, actor=operator())))


@dead_app.command("list")
def dead_list(limit: Annotated[int, typer.Option(min=1, help="at most so many")] = 100) -> None:
    """Dead letters of all tenants, newest first, a JSON object a line."""

    async def run(tasks: "Tasks") -> None:
        from .records import Status

        page = await tasks.page(tenant=None, status=Status.DEAD, cursor=None, limit=limit)
        for view in page.tasks:
            _show(view)

    _with_tasks(run)


@dead_app.command("retry")
def dead_retry(id: str, tenant: Tenant = "local") -> None:
    """Gives the failed or dead task ID another chance; what it had finished is kept."""
    _show(_with_tasks(lambda tasks: tasks.retry(id, tenant=tenant, actor=operator())))


def _show(view: "TaskView") -> None:
    typer.echo(view.model_dump_json(exclude_none=True))


def _with_tasks(work: Callable[["Tasks"], Awaitable[T]], *, with_models: bool = False) -> T:
    from .database import Database
    from .tasks import Tasks

    current = settings()

    async def connected() -> T:
        async with AsyncExitStack() as stack:
            database = Database(current.queue.database_url.get_secret_value())
            stack.callback(database.close)
            await asyncio.to_thread(database.prepare)
            audit = Audit(current.audit_file, sys.stderr)
            stack.callback(audit.close)
            models = await stack.enter_async_context(open_models(current)) if with_models else None
            tasks = Tasks(current, database, audit, models)
            stack.callback(tasks.close)
            return await work(tasks)

    logs.setup("ERROR", tuple, sys.stderr)
    try:
        return asyncio.run(connected())
    except ServiceError as error:
        fail(f"{error.title}: {error.detail}", 1)


@asynccontextmanager
async def open_models(current: Settings) -> AsyncGenerator["Models"]:
    """The models as a worker has them; importing a provider takes seconds, which only these commands shall cost."""
    from ..guard import Guards
    from ..models import Models
    from ..outbound import Outbound

    guards = Guards(current.guard)
    async with aclosing(Outbound(current, guards)) as outbound:
        yield Models(current.model, Secrets(current), outbound, guards)
