"""The handler of SQS: each message names a task, which is run here. Those that failed are given back, the others not.

Who runs a task holds a lease on its row. A message that is delivered twice runs once; a function that dies loses its
lease, and the message's next delivery goes on from the checkpoints. SQS gives up after QUEUE__ATTEMPTS deliveries.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from ..config.secrets import Secrets
from ..queue.sqs import open_sqs_tasks
from ..service import open_service
from . import preload  # noqa: F401
from .deliveries import Deliveries, Message
from .sandbox import Context, Sandbox


@asynccontextmanager
async def opened(secrets: Secrets) -> AsyncGenerator[Deliveries]:
    async with open_service(secrets) as service, open_sqs_tasks(service) as tasks:
        yield Deliveries(service, tasks)


sandbox = Sandbox(opened)


def handler(event: Any, context: Context) -> dict[str, list[dict[str, str]]]:
    """What Lambda calls; the answer names the messages that are not done (`ReportBatchItemFailures`).

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
