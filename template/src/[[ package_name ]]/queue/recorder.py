"""What a tool does through `steps.step`, as steps of the task's workflow."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from dbos import DBOS

from .queries import Queries


class Recorder:
    """Steps as DBOS' steps; see toolkit/steps.py."""

    def __init__(self, tasks: Queries, workflow_id: str) -> None:
        self._tasks = tasks
        self._workflow_id = workflow_id

    async def record(self, name: str, effect: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        async def work() -> Any:
            return await effect(*args)

        return await DBOS.run_step_async({"name": name}, work)

    async def goes_on(self, error: BaseException) -> bool:
        """Not when its owner has cancelled it, nor when its time is over."""
        facts = await self._tasks.facts(self._workflow_id)
        return not facts.cancelled and time.time() < facts.deadline_at
