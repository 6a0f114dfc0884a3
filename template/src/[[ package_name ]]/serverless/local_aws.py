"""AWS on this machine, for development: moto keeps the queue and the table of tasks, and a poller does the tasks.

So `serve` runs the engine of production without an account: the same rows, messages, leases and checkpoints. All of it
is in memory, and gone when the command ends.
"""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import structlog

from ..config.loading import SettingsError
from ..config.queue import ServerlessSettings
from ..config.settings import Settings
from ..errors import StateUnavailable
from ..guard import at_most
from ..guard.aws import Aws, AwsError
from ..queue.sqs.table import INDEX, REGION, client

if TYPE_CHECKING:  # commands look at the places alone
    from fastapi import FastAPI

    from ..queue import Tasks
    from ..queue.sqs.deliveries import Deliveries, Message

log = structlog.get_logger(__name__)

_ACCOUNT = "123456789012"  # moto's
_POLL_SECONDS = 0.2
_BATCHES = 8  # at once; on Lambda, environments
# The time-outs of deploy/serverless/: of a function, and of the messages that it died with.
_FUNCTION_SECONDS = 300.0
_VISIBILITY_SECONDS = 360


def or_here(settings: Settings) -> Settings:
    """The settings, with the places of tasks on this machine where they name none on AWS; in development alone.

    `serve` keeps the tasks on the port after PORT, and there the other commands look for them.
    """
    return _here(settings, settings.port + 1) if _are_here(settings) else settings


@contextmanager
def engine(settings: Settings) -> Generator[tuple[Settings, Callable[["FastAPI"], "FastAPI"]]]:
    """The settings to serve with, and a function that puts a worker into the application. Both change nothing where the
    tasks are on AWS. Where they are here, moto runs until the end.

    Raises:
        SettingsError: moto is not installed.
    """
    if not _are_here(settings):
        yield settings, lambda app: app
        return
    server = _moto(settings.port + 1 if settings.port else 0)
    here = _here(settings, server.port)
    thread = threading.Thread(target=server.serve_forever, name="moto", daemon=True)
    thread.start()
    try:
        asyncio.run(_make_places(here))
        yield here, _with_worker
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _are_here(settings: Settings) -> bool:
    return settings.environment == "development" and not settings.serverless.tasks_table


def _here(settings: Settings, port: int) -> Settings:
    places = ServerlessSettings(tasks_table="tasks", queue_url=f"http://127.0.0.1:{port}/{_ACCOUNT}/tasks")
    return settings.model_copy(update={"serverless": places})


def _moto(port: int) -> Any:
    """moto's server. It has one thread: DynamoDB does each operation whole, and several threads of moto do not."""
    try:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server
    except ModuleNotFoundError as error:
        raise SettingsError(
            [
                "SERVERLESS__TASKS_TABLE: missing; give the DynamoDB table of the tasks, and SERVERLESS__QUEUE_URL. On"
                " a developer's machine moto keeps the tasks, once `make install` has installed it."
            ]
        ) from error
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request
    app = DomainDispatcherApplication(create_backend_app)
    return make_server("127.0.0.1", port, app, request_handler=MotoRequestHandler)


async def _make_places(here: Settings) -> None:
    """The table, the queue and its dead letters, as deploy/serverless/ has them."""
    dynamodb, sqs = client("dynamodb", here), client("sqs", here)
    keys = {"tenant": "HASH", "id": "RANGE"}
    by_created = {"tenant": "HASH", "created": "RANGE"}
    await _made(
        dynamodb,
        "create_table",
        TableName="tasks",
        KeySchema=_schema(keys),
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys | by_created],
        GlobalSecondaryIndexes=[
            {"IndexName": INDEX, "KeySchema": _schema(by_created), "Projection": {"ProjectionType": "ALL"}}
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    await _made(sqs, "create_queue", QueueName="tasks-dead")
    dead = f"arn:aws:sqs:{REGION}:{_ACCOUNT}:tasks-dead"
    redrive = {"deadLetterTargetArn": dead, "maxReceiveCount": here.queue.attempts}
    attributes = {"RedrivePolicy": json.dumps(redrive), "VisibilityTimeout": str(_VISIBILITY_SECONDS)}
    await _made(sqs, "create_queue", QueueName="tasks", Attributes=attributes)
    await dynamodb.aclose()
    await sqs.aclose()


async def _made(aws: Aws, operation: str, **parameters: Any) -> None:
    """Asks again while there is no answer: moto imports its parts at their first request, which takes seconds."""
    while True:
        try:
            await aws.call(operation, **parameters)
            return
        except AwsError as error:
            if error.code == "ResourceInUseException":  # an attempt without an answer has made it
                return
            if not error.transient:
                raise
        await asyncio.sleep(_POLL_SECONDS)


def _schema(keys: dict[str, str]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()]


def _with_worker(app: "FastAPI") -> "FastAPI":
    from ..queue.sqs.deliveries import Deliveries

    opened = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: "FastAPI") -> AsyncGenerator[None]:
        async with opened(app):
            tasks: Tasks = app.state.tasks
            log.info("tasks_on_this_machine", kept="in memory, by moto in the place of SQS and DynamoDB")
            polling = asyncio.create_task(_poll(tasks, Deliveries(app.state.service, tasks)))
            yield
            polling.cancel()
            await asyncio.wait([polling])

    app.router.lifespan_context = lifespan
    return app


async def _poll(tasks: "Tasks", deliveries: "Deliveries") -> None:
    """Does what Lambda's event source mapping does, with the worker's own code in the place of a function."""
    async with asyncio.TaskGroup() as batches:
        running: set[asyncio.Task[None]] = set()
        while True:
            with suppress(StateUnavailable):
                if len(running) < _BATCHES and (messages := await _received(tasks)):
                    batch = batches.create_task(_done(tasks, deliveries, messages))
                    running.add(batch)
                    batch.add_done_callback(running.discard)
            await asyncio.sleep(_POLL_SECONDS)


async def _received(tasks: "Tasks") -> list["Message"]:
    from ..queue.sqs.deliveries import Message

    found = await tasks.asked("receive_message", MaxNumberOfMessages=10, AttributeNames=["All"])
    messages = []
    for each in found.get("Messages", []):
        delivery, sent = (int(each["Attributes"][name]) for name in ("ApproximateReceiveCount", "SentTimestamp"))
        messages.append(Message(each["MessageId"], each["ReceiptHandle"], each["Body"], delivery, sent))
    return messages


async def _done(tasks: "Tasks", deliveries: "Deliveries", messages: list["Message"]) -> None:
    with at_most(_FUNCTION_SECONDS), suppress(StateUnavailable):
        failed = await deliveries.take_all(messages)
        for message in messages:
            if message not in failed:
                await tasks.asked("delete_message", ReceiptHandle=message.receipt_handle)
