"""The answer cache: for identical tasks of a tenant, also concurrent ones, and for an outage of all models."""

import hashlib
from collections.abc import Awaitable, Callable

from ..config.settings import Settings
from ..errors import ModelUnavailable
from ..state import State
from .failures import translated
from .once import Once
from .result import RunResult
from .task import Progress


class Cache:
    """The cached answers of one set of models. Off if CACHE__TTL_SECONDS is 0."""

    def __init__(self, state: State, settings: Settings, models: tuple[str, ...]) -> None:
        self._state = state
        self._settings = settings.cache
        self._patience = settings.run.deadline_seconds
        self._models = models
        self._once = Once(state, "answer:")

    async def answer(self, run: Progress, make: Callable[[Progress], Awaitable[RunResult]]) -> RunResult:
        """The answer from the cache or from `make`. Concurrent identical tasks of a tenant share one answer."""
        task, settings = run.task, self._settings
        if not settings.ttl_seconds or task.conversation_id or task.history or run.emit:
            return await make(run)
        parts = (task.tenant, task.input, task.instructions or "", str(task.model_settings), *self._models)
        key = hashlib.sha256("\x00".join(parts).encode()).hexdigest()

        async def work() -> str:
            return (await make(run)).model_dump_json()

        try:
            answer, earlier = await self._once.do(key, "", settings.ttl_seconds, work, patience=self._patience)
        except Exception as error:
            # The last good answer is better than none.
            last = await self._state.get(f"last:{key}")
            if last is None or not isinstance(translated(error, 1), ModelUnavailable):
                raise
            stale = RunResult.model_validate_json(last)
            return stale.model_copy(update={"id": task.run_id, "degraded": True, "cached": True, "usage": run.spent()})
        result = RunResult.model_validate_json(answer)
        if earlier:
            return result.model_copy(update={"id": task.run_id, "cached": True, "usage": run.spent()})
        if not result.degraded:
            await self._state.set(f"last:{key}", answer.encode(), settings.ttl_seconds + settings.stale_seconds)
        return result
