"""The handler of SQS: each message names a task, which is run here. Those that failed are given back, the others not.

Who runs a task holds a lease on its row. A message that is delivered twice runs once; a function that dies loses its
lease, and the message's next delivery goes on from the checkpoints. SQS gives up after QUEUE__ATTEMPTS deliveries.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from aws_lambda_powertools.utilities.batch import AsyncBatchProcessor, EventType, async_process_partial_response

from ..queue.sqs import open_sqs_tasks
from ..secrets import Secrets
from ..service import open_service
from . import preload  # noqa: F401
from .deliveries import Deliveries
from .sandbox import Context, Sandbox


@asynccontextmanager
async def opened(secrets: Secrets) -> AsyncGenerator[Deliveries]:
    async with open_service(secrets) as service, open_sqs_tasks(service) as tasks:
        yield Deliveries(service, tasks)


sandbox = Sandbox(opened)
processor = AsyncBatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


def handler(event: Any, context: Context) -> Any:
    """What Lambda calls."""
    with sandbox.invocation(context) as deliveries:
        return async_process_partial_response(event, deliveries.take, processor, context)  # type: ignore[arg-type]
