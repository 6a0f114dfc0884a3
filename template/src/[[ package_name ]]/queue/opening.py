"""Where tasks are: in the database, or on AWS where SERVERLESS__TASKS_TABLE names a table there."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from ..service import Service
from .records import TaskQueue


@asynccontextmanager
async def open_tasks(service: Service) -> AsyncGenerator[TaskQueue]:
    """The queue as clients see it; closed at the end. Only what is used is imported: DBOS takes a second."""
    if service.settings.serverless.tasks_table:
        from .sqs import open_sqs_tasks

        async with open_sqs_tasks(service) as remote:
            yield remote
    else:
        from .tasks import open_tasks as open_stored_tasks

        async with open_stored_tasks(service) as stored:
            yield stored
