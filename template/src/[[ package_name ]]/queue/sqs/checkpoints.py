"""Checkpoints: the next delivery of a task goes on where the last one stopped, and pays for no model answer twice.

The state store keeps them, one entry for each model answer and each step. So Lambda's 15 minutes limit one model call
or step, not a task.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import TypeAdapter
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage, RunUsage

from ...state import State
from ..records import Status
from .lease import Lease
from .rows import now_ms
from .table import Table

T = TypeVar("T")
_RESPONSE = TypeAdapter(ModelResponse)
_USAGE = TypeAdapter(RunUsage)
_KEPT_SECONDS = 7 * 86_400.0


class Checkpoints:
    """The checkpoints of one task in one delivery, and the recorder of its steps (toolkit/steps.py)."""

    def __init__(self, state: State, table: Table, lease: Lease) -> None:
        self._state = state
        self._table = table
        self._lease = lease
        self._row = row = lease.row
        self._passed: Counter[str] = Counter()
        self._answers: list[ModelResponse] = []
        self.earlier = _USAGE.validate_json(row.usage) if row.usage else RunUsage()

    async def answer(self, ask: Callable[[], Awaitable[ModelResponse]]) -> ModelResponse:
        """The next answer of the task's models. It counts for nothing here if an earlier delivery has booked it."""
        response = await self._kept("model", ask, _dumped, _RESPONSE.validate_json)
        if self._passed["model"] <= self._row.booked:
            return replace(response, usage=RequestUsage())
        self._answers.append(response)
        return response

    async def record(self, name: str, effect: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        async def work() -> Any:
            return await effect(*args)

        return await self._kept(f"step:{name}", work, lambda value: json.dumps(value).encode(), json.loads)

    async def goes_on(self, error: BaseException) -> bool:
        """Whether the task goes on elsewhere: not after its owner has cancelled it, nor after its deadline."""
        row = await self._table.get(self._row.tenant, self._row.id)
        return row is not None and row.status != Status.CANCELLED and now_ms() < row.deadline_at

    @property
    def progress(self) -> bool:
        """Whether this delivery has added a checkpoint."""
        return self._passed.total() > self._row.kept

    def booked(self) -> dict[str, str | int]:
        """The attributes of the row of a task that goes on after this delivery: the usage that the run has booked."""
        usage = replace(self.earlier)
        for response in self._answers:
            usage.incr(response.usage)
        return {"booked": self._passed["model"], "usage": _USAGE.dump_json(usage).decode()}

    async def _kept(
        self, name: str, make: Callable[[], Awaitable[T]], dump: Callable[[T], bytes], load: Callable[[bytes], T]
    ) -> T:
        # By the row's own mark: once a task is forgotten its id is free, and its checkpoints may still be there.
        key = f"task:{self._row.tenant}/{self._row.created}:{name}:{self._passed[name]}"
        found = await self._state.get(key)
        value = await make() if found is None else load(found)
        if found is None:
            await self._state.set(key, dump(value), _KEPT_SECONDS)
        self._passed[name] += 1
        if found is None:
            await self._lease.note(self._passed.total())
        return value


def _dumped(response: ModelResponse) -> bytes:
    """Half of a surrogate pair, which no UTF-8 has, becomes a question mark."""
    return json.dumps(_RESPONSE.dump_python(response, mode="json"), ensure_ascii=False).encode(errors="replace")


current: ContextVar[Checkpoints] = ContextVar("checkpoints")


class CheckpointedModel(WrapperModel):
    """A model whose answers to the current task become checkpoints."""

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        return await current.get().answer(
            lambda: self.wrapped.request(messages, model_settings, model_request_parameters)
        )
