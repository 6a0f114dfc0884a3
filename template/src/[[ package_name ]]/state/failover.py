"""The store in use: the shared one, or this process's memory while that cannot be reached."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from ..guard import BulkheadFull, CircuitOpen, Guards
from ..telemetry import metrics
from .memory import MemoryStore
from .store import Amount, Reserved, SharedStore, Store, Window

log = structlog.get_logger(__name__)
T = TypeVar("T")

REJECTED: tuple[type[Exception], ...] = (TimeoutError, CircuitOpen, BulkheadFull)  # by the guard itself


class State:
    """A store that always answers.

    With the shared one away, work goes on with this process's memory: limits and budgets count locally, idempotency
    holds within the process, conversations start anew. `shared` is False meanwhile; see docs/scale.md.
    """

    def __init__(self, store: SharedStore | None, guards: Guards, *, prefix: str = "") -> None:
        self._prefix = prefix
        self._local = MemoryStore()
        self.store = store
        self.shared = True
        if store is not None:
            # No bulkhead to speak of: a burst waits for the bounded pool, it is no reason to work with local memory.
            self._guard = guards.get(
                "state",
                store.transient,
                timeout_seconds=2.5,
                attempts=2,
                breaker_open_seconds=1.0,
                max_concurrent=10_000,
            )
            self._away: tuple[type[Exception], ...] = (*store.unreachable, *REJECTED)

    async def get(self, key: str) -> bytes | None:
        return await self._do(lambda store: store.get(self._prefix + key))

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        await self._do(lambda store: store.set(self._prefix + key, value, ttl))

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        return await self._do(lambda store: store.add(self._prefix + key, value, ttl))

    async def replace(self, key: str, old: bytes, new: bytes | None, ttl: float) -> bool:
        return await self._do(lambda store: store.replace(self._prefix + key, old, new, ttl))

    async def reserve(self, account: str, holder: str, amount: Amount, limit: Amount, ttl: float) -> Reserved:
        return await self._do(lambda store: store.reserve(self._prefix + account, holder, amount, limit, ttl))

    async def settle(self, account: str, holder: str, spent: Amount, ttl: float) -> None:
        await self._do(lambda store: store.settle(self._prefix + account, holder, spent, ttl))

    async def hit(self, key: str, per_minute: int) -> Window:
        return await self._do(lambda store: store.hit(self._prefix + key, per_minute))

    async def ping(self) -> bool:
        """Whether the shared store answers."""
        await self._do(lambda store: store.ping())
        return self.shared

    async def aclose(self) -> None:
        if self.store is not None:
            await self.store.aclose()

    async def _do(self, operation: Callable[[Store], Awaitable[T]]) -> T:
        if self.store is None:
            return await operation(self._local)
        try:
            result = await self._guard.call(operation, self.store)
        except self._away as error:
            self._report(shared=False, reason=self.store.reason(error))
            return await operation(self._local)
        self._report(shared=True, reason="answers again")
        return result

    def _report(self, *, shared: bool, reason: str) -> None:
        if shared == self.shared:
            return
        self.shared = shared
        metrics.STATE_DEGRADED.set(0 if shared else 1)
        (log.info if shared else log.error)("state_store", shared=shared, reason=reason)
