"""The store in use: the shared one, or this process's memory while that cannot be reached."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ..guard import BulkheadFull, CircuitOpen, Guards
from ..telemetry import metrics
from .memory import MemoryStore
from .redis import RedisStore
from .shared_breaker import SharedBreaker
from .store import Amount, Reserved, Store, Window

log = structlog.get_logger(__name__)
T = TypeVar("T")

_PREFIX = f"{__name__.partition('.')[0]}:"  # several services may share one Redis
UNREACHABLE = (RedisError, OSError, TimeoutError, CircuitOpen, BulkheadFull)


def transient(error: BaseException) -> bool:
    return isinstance(error, RedisConnectionError | RedisTimeoutError | OSError | TimeoutError)


class State:
    """A store that always answers.

    With Redis away, work goes on with this process's memory: limits and budgets count locally, idempotency holds
    within the process, conversations start anew. `shared` is False meanwhile; see docs/scale.md.
    """

    def __init__(self, store: Store, guards: Guards, *, prefix: str = "") -> None:
        self._prefix = prefix
        self._local = MemoryStore()
        self.store = store
        self.shared = True
        # No bulkhead to speak of: a burst waits for the bounded pool, it is no reason to work with local memory.
        self._guard = guards.get(
            "state", transient, timeout_seconds=2.5, attempts=2, breaker_open_seconds=1.0, max_concurrent=10_000
        )

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
        await self.store.aclose()

    async def _do(self, operation: Callable[[Store], Awaitable[T]]) -> T:
        if isinstance(self.store, MemoryStore):
            return await operation(self.store)
        try:
            result = await self._guard.call(operation, self.store)
        except UNREACHABLE as error:
            self._report(shared=False, reason=type(error).__name__)
            return await operation(self._local)
        self._report(shared=True, reason="answers again")
        return result

    def _report(self, *, shared: bool, reason: str) -> None:
        if shared == self.shared:
            return
        self.shared = shared
        metrics.STATE_DEGRADED.set(0 if shared else 1)
        (log.info if shared else log.error)("state_store", shared=shared, reason=reason)


def open_state(url: str, guards: Guards, *, shared_breakers: bool = False) -> State:
    """The store that `STATE_URL` names. Nothing is connected before the first use."""
    if urlsplit(url).scheme == "memory":
        return State(MemoryStore(), guards, prefix=_PREFIX)
    store = RedisStore(url)
    state = State(store, guards, prefix=_PREFIX)
    if shared_breakers:
        guards.share(partial(SharedBreaker, store.client))
    return state
