"""The store in use: the shared one, or this process's memory while the shared one takes no writes."""

import asyncio
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

import structlog

from ..guard import BulkheadFull, Guards, time_remaining
from ..telemetry import metrics
from .memory import MemoryStore
from .store import Amount, Reserved, SharedStore, Store, Window

log = structlog.get_logger(__name__)
T = TypeVar("T")

PAUSE_SECONDS = 1.0  # between two attempts to use the store again
LONGEST_PAUSE_SECONDS = 30.0  # the pause doubles, up to this, for a store that comes and goes


class State:
    """A store that always answers.

    `shared` says whether the shared store is in use. The first operation that fails there ends its use: this process's
    memory takes over at once, until the shared store has taken a write again. Reads do not change `shared`, because a
    primary that became a replica still answers them. See docs/scale.md.
    """

    def __init__(self, store: SharedStore | None, guards: Guards, *, prefix: str = "") -> None:
        self._prefix = prefix
        self._local = MemoryStore()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._owed: dict[tuple[str, str], tuple[Amount, float]] = {}  # account, holder → what was spent, and its ttl
        self._held: set[tuple[str, str]] = set()  # reservations of this process that the shared store may hold
        self._outage = ""
        self._pause, self._back_since = PAUSE_SECONDS, float("-inf")
        self.store = store
        self.shared = True
        self.reason = ""  # why the shared store is not in use, for an operator
        self.refused = ""  # why it has refused the latest operation that it refused alone
        self.switches = 0  # how often the store in use has changed; neither store knows what the other one holds
        if store is not None:
            # No effective bulkhead: a burst waits for the bounded pool and is no reason to use local memory.
            # No breaker: `shared` is one, it opens at the first failure and closes only after a write.
            # A full retry budget: a failover refuses everything in flight at once, and each may be tried again.
            self._guard = guards.get(
                "state",
                lambda error: store.transient(error) and not _out_of_time(error),
                timeout_seconds=store.attempt_seconds,
                attempts=2,
                retry_budget=1.0,
                breaker_minimum_calls=sys.maxsize,
                max_concurrent=10_000,
            )
            self._failures: tuple[type[Exception], ...] = (*store.unreachable, TimeoutError, BulkheadFull)
            metrics.STATE_DEGRADED.set(0)

    async def get(self, key: str) -> bytes | None:
        return await self._do(lambda store: store.get(self._prefix + key))

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        await self._do(lambda store: store.set(self._prefix + key, value, ttl))

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        return await self._do(lambda store: store.add(self._prefix + key, value, ttl))

    async def replace(self, key: str, old: bytes, new: bytes | None, ttl: float) -> bool:
        return await self._do(lambda store: store.replace(self._prefix + key, old, new, ttl))

    async def reserve(self, account: str, holder: str, amount: Amount, limit: Amount, ttl: float) -> Reserved:
        account = self._prefix + account
        if self.shared:
            self._held.add((account, holder))
        answer, lapsed = await self._do(lambda store: store.reserve(account, holder, amount, limit, ttl))
        if answer != "held":
            self._held.discard((account, holder))
        if lapsed != Amount():
            metrics.BUDGET_LAPSED.add(lapsed.tokens)
            log.warning("reservation_lapsed", account=account, tokens=lapsed.tokens, micro_usd=lapsed.micro_usd)
        return answer

    async def settle(self, account: str, holder: str, spent: Amount, ttl: float) -> None:
        """Books in this process's memory during an outage, and in the shared store as soon as it is back."""
        account = self._prefix + account
        known = self.shared or (account, holder) in self._held
        self._held.discard((account, holder))

        async def settle(store: Store) -> None:
            await store.settle(account, holder, spent, ttl)
            if store is self._local and self.store is not None:
                # The shared store may hold the reservation, or have booked this: the holder tells. Others are added up.
                debt = account, holder if known else self._outage
                self._owed[debt] = spent + self._owed.get(debt, (Amount(), ttl))[0], ttl

        await self._do(settle)

    async def hit(self, key: str, per_minute: int) -> Window:
        return await self._do(lambda store: store.hit(self._prefix + key, per_minute))

    async def ping(self, within: float | None = None) -> bool:
        """Whether the shared store takes writes, tried now. False if there is no answer in `within` seconds."""
        if self.store is None or not self.shared:
            return self.shared
        if (look := self._tasks.get("look")) is None or look.done():
            look = self._begin("look", self._look(self.store))
        await asyncio.wait([look], timeout=within)
        return look.done() and self.shared

    def lost(self, error: Exception, *, wholly: bool = False) -> None:
        """Ends the use of the shared store, unless `error` concerns one operation only."""
        if self.store is None:
            return
        if not wholly and not self.store.away(error):
            self.refused = self.store.reason(error)
            log.error("state_store_refused", reason=self.refused)
        elif self.shared and not _out_of_time(error):
            briefly = time.monotonic() - self._back_since < LONGEST_PAUSE_SECONDS
            self._pause = min(LONGEST_PAUSE_SECONDS, 2 * self._pause) if briefly else PAUSE_SECONDS
            self._outage = f"outage {uuid.uuid4().hex}"
            self._report(shared=False, reason=self.store.reason(error))
            self._begin("recovery", self._recover(self.store))

    async def aclose(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if self._owed:
            lost = sum((spent for spent, _ in self._owed.values()), Amount())
            log.error("state_spending_not_booked", tokens=lost.tokens, micro_usd=lost.micro_usd)
        if self.store is not None:
            await self.store.aclose()

    async def _do(self, operation: Callable[[Store], Awaitable[T]]) -> T:
        if self.store is not None and self.shared:
            try:
                return await self._guard.call(operation, self.store)
            except self._failures as error:
                self.lost(error)
        return await operation(self._local)

    async def _look(self, store: SharedStore) -> None:
        try:
            await self._guard.call(store.ping, f"{self._prefix}probe")
        except self._failures as error:
            self.lost(error, wholly=True)

    async def _recover(self, store: SharedStore) -> None:
        while not self.shared:
            await asyncio.sleep(self._pause)
            try:
                await self._guard.call(store.ping, f"{self._prefix}probe")
                await self._pay(store)
            except Exception as error:  # noqa: BLE001  no error may end the attempts
                self._report(shared=False, reason=store.reason(error))
            else:
                self._back_since = time.monotonic()
                self._report(shared=True, reason="")

    async def _pay(self, store: SharedStore) -> None:
        """Books what was spent during the outage. New spending meanwhile gets a holder of its own."""
        self._outage = f"outage {uuid.uuid4().hex}"
        while self._owed:
            (account, holder), (spent, ttl) = debt = self._owed.popitem()
            try:
                await self._guard.call(store.settle, account, holder, spent, ttl)
            except self._failures as error:
                if store.away(error):
                    self._owed[debt[0]] = debt[1]
                    raise
                log.error("state_spending_not_booked", tokens=spent.tokens, reason=store.reason(error))

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts `work` in a new context: the deadline of the current run does not apply to it."""
        self._tasks[name] = asyncio.get_running_loop().create_task(work, context=Context())
        return self._tasks[name]

    def _report(self, *, shared: bool, reason: str) -> None:
        if (shared, reason) == (self.shared, self.reason):
            return
        self.switches += shared != self.shared
        self.shared, self.reason = shared, reason
        metrics.STATE_DEGRADED.set(0 if shared else 1)
        (log.info if shared else log.error)("state_store", shared=shared, reason=reason or "it takes writes again")


def _out_of_time(error: BaseException) -> bool:
    """Whether the deadline of the run was over: that says nothing about the store."""
    left = time_remaining()
    return isinstance(error, TimeoutError) and left is not None and left < 0.01
