"""The handler of SQS: each message names a task, which is done here. Only the failed messages are given back."""

from . import preload  # noqa: F401

# isort: split
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from ..config.secrets import Secrets
from ..queue import open_tasks
from ..queue.sqs.deliveries import Deliveries, Message
from ..service import open_service
from .sandbox import Context, Sandbox


@asynccontextmanager
async def opened(secrets: Secrets) -> AsyncGenerator[Deliveries]:
    async with open_service(secrets) as service, open_tasks(service) as tasks:
        yield Deliveries(service, tasks)


sandbox = Sandbox(opened)


def handler(event: Any, context: Context) -> dict[str, list[dict[str, str]]]:
    """Called by Lambda. The answer names the messages to be delivered again (`ReportBatchItemFailures`).

    Raises:
        ValueError: the event is not one of SQS.
    """
    try:
        messages = [Message.of(record) for record in event["Records"]]
    except (TypeError, KeyError) as error:
        raise ValueError("This function takes batches of SQS: an object with `Records`.") from error
    with sandbox.invocation(context) as deliveries:
        failed = sandbox.run(deliveries.take_all(messages))
    return {"batchItemFailures": [{"itemIdentifier": message.id} for message in failed]}
