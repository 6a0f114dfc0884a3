"""A durable run: its model calls and effects are steps of the task's workflow, recorded when they are done."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from dbos import DBOS
from pydantic_ai.durable_exec.dbos import DBOSDurability, StepConfig

from ...agent.agent import agent
from ...runs.runner import Runner
from ...service import Service
from ...toolkit import Deps
from .batches.provider import batched
from .patient import PatientModel
from .queries import Queries


class BoundOnce(DBOSDurability[Deps]):
    """Registers its steps with DBOS once a process, not once a run."""

    _bound: Any = None

    def for_agent(self, agent: Any) -> Any:
        self._bound = self._bound or super().for_agent(agent)
        return self._bound


def durable(service: Service) -> tuple[Runner, Runner]:
    """The service's runner, for use inside a workflow: a recorded answer of a model is not asked for again.

    The second one asks the models through their providers' batch API.
    """
    runner, settings = service.runner, service.settings.queue
    asked = runner.models.wrapped(lambda model: PatientModel(model, settings))
    in_batches, gathering = batched(runner.models, settings)
    # Preemptible: a cancelled task's model call is broken off. DBOS knows the word, pydantic-ai's type of it not yet.
    options = cast(StepConfig, {"preemptible": True})
    models = {**asked.by_size, **{f"batch-{size}": model for size, model in in_batches.by_size.items()}}
    durability = BoundOnce(models=models, model_step_config=options)
    agent.model = models["big"]  # binding wants to see one; each run still names its own
    durability.for_agent(agent)
    return (
        runner.extended(asked, [durability]),
        runner.extended(in_batches, [durability, gathering], may_end_pending=True),
    )


class Recorder:
    """The recorder of `toolkit/steps.py`: a tool's steps become DBOS' steps."""

    def __init__(self, tasks: Queries, workflow_id: str) -> None:
        self._tasks = tasks
        self._workflow_id = workflow_id

    async def record(self, name: str, effect: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        async def work() -> Any:
            return await effect(*args)

        return await DBOS.run_step_async({"name": name}, work)

    async def goes_on(self, error: BaseException) -> bool:
        """Whether the task goes on elsewhere: not after its owner has cancelled it, nor after its deadline."""
        facts = await self._tasks.facts(self._workflow_id)
        return not facts.cancelled and time.monotonic() < facts.ends_at
