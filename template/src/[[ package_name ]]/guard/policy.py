"""The policy around a call: retry → circuit breaker → bulkhead → time-out."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar

import nopanic
import structlog
from nopanic import BulkheadFull, CircuitOpen, backoff
from opentelemetry import trace

from ..config.settings import GuardSettings
from ..telemetry import metrics
from .deadline import share_of_time, time_remaining
from .outcomes import outcome_of, told
from .places import Places, tenant

log = structlog.get_logger(__name__)
T = TypeVar("T")

RETRY_AFTER_CAP = 30.0  # seconds; a hostile Retry-After must not park a call until its deadline
RESERVED_SHARE = 0.25  # of the calls in flight, on top: one tenant's slow calls keep no other tenant's out
SLOW_CALL_RATE = 0.8  # share of slow calls that opens the breaker


class Guard:
    """The policy of one dependency.

    Args:
        dependency: its name; also a metric label, so from a bounded set.
        settings: attempts, time-out (seconds per attempt), retry budget, breaker and bulkhead.
        transient: whether to retry an exception and count it against the dependency.
        shared: a breaker shared with other replicas, above this process's own.
    """

    def __init__(
        self,
        dependency: str,
        settings: GuardSettings,
        transient: Callable[[BaseException], bool],
        *,
        shared: Any = None,
    ) -> None:
        self.dependency = dependency
        self._transient = transient
        self._typical = 0.0  # seconds of a good call, a moving average
        self._minimum_calls = settings.breaker_minimum_calls
        self._failed_in_a_row = 0
        self._shared = [shared] if shared else []
        self._breaker = nopanic.circuit_breaker(
            name=dependency,
            failure_threshold=settings.breaker_failure_rate,
            min_calls=settings.breaker_minimum_calls,
            reset_timeout=settings.breaker_open_seconds,
            half_open_max_calls=1,
            on=transient,
            slow_call_duration=settings.breaker_slow_seconds,
            slow_call_threshold=SLOW_CALL_RATE,
            on_state_change=self._log_state,
        )
        self._places = Places(settings.max_concurrent, RESERVED_SHARE, BulkheadFull)
        self._retry = nopanic.retry(
            settings.attempts,
            on=transient,
            giveup=self._cannot_finish,
            backoff=backoff.full_jitter(base=0.1, cap=5.0),
            budget=nopanic.RetryBudget(settings.retry_budget),
            retry_after_cap=RETRY_AFTER_CAP,
            before_sleep=self._count_retry,
            name=dependency,
        )
        metrics.DEPENDENCY_RETRIES.add(0, {"dependency": dependency})  # a rate needs a first value
        self._timeout = nopanic.timeout(settings.timeout_seconds, name=dependency)
        self._call = nopanic.compose(self._retry, *self._shared, self._breaker)(self._watched(self._bounded))
        self._open = nopanic.compose(self._retry, *self._shared, self._breaker)(self._watched(self._connected))

    @property
    def state(self) -> str:
        """`closed`, `half_open` or `open`; of the shared breaker, as this process last saw it."""
        return next((shared.state for shared in self._shared if shared.state != "closed"), str(self._breaker.state))

    @property
    def in_flight(self) -> int:
        return self._places.all_taken

    async def call(self, fn: Callable[..., Awaitable[T]], /, *args: Any, share: float = 1.0) -> T:
        """Awaits `fn` under the policy, for at most a `share` of the time until the deadline.

        Raises:
            CircuitOpen: no call was made; `retry_after` tells when the next probe is due.
            BulkheadFull: no call was made.
            TimeoutError: the last attempt took too long.
            Exception: the exception of the last attempt, unchanged.
        """
        with self._measured(), share_of_time(share):
            try:
                result: T = await self._call(fn, *args)
            except Exception as error:
                self._log_failure(error)
                raise
            return result

    @asynccontextmanager
    async def stream(
        self, connect: Callable[[], AbstractAsyncContextManager[T]], *, share: float = 1.0
    ) -> AsyncGenerator[T]:
        """Opens a stream under the policy. Opening is retried; the stream holds its bulkhead slot until it ends.

        An open stream is not retried, since its first part is delivered already; its failure counts for the breaker.
        """
        with self._measured():
            try:
                with share_of_time(share):
                    stack, stream = await self._open(connect)
            except Exception as error:
                self._log_failure(error)
                raise
            try:
                async with stack:
                    yield stream
            except Exception as error:
                if self._transient(error):
                    self._log_failure(error)
                    with suppress(Exception):
                        await self._breaker.acall(_raise, error)
                raise

    async def _connected(self, connect: Callable[[], AbstractAsyncContextManager[T]]) -> tuple[AsyncExitStack, T]:
        async with AsyncExitStack() as stack:
            stack.enter_context(self._places.taken(tenant()))
            async with self._timeout.guard():
                stream = await self._attempt(stack.enter_async_context, connect())
            return stack.pop_all(), stream

    async def _bounded(self, fn: Callable[..., Awaitable[T]], *args: Any) -> T:
        with self._places.taken(tenant()):
            async with self._timeout.guard():
                return await self._attempt(fn, *args)

    async def _attempt(self, fn: Callable[..., Awaitable[T]], *args: Any) -> T:
        started = time.perf_counter()
        result = await fn(*args)
        self._typical += 0.1 * (time.perf_counter() - started - self._typical)
        return result

    def _watched(self, fn: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        """`fn`, watched for a total outage: the window's earlier successes would hide it for half of the window.

        Once the breaker's minimum of calls has failed in a row, the breaker judges by these calls alone.
        """

        async def watched(*args: Any) -> T:
            try:
                result = await fn(*args)
            except Exception as error:
                if self._transient(error):
                    self._failed_in_a_row += 1
                    if self._failed_in_a_row >= self._minimum_calls and self._breaker.state == "closed":
                        self._breaker.reset()
                        for _ in range(self._minimum_calls - 1):  # the breaker counts this one itself
                            with suppress(Exception):
                                await self._breaker.acall(_raise, error)
                raise
            self._failed_in_a_row = 0
            return result

        return watched

    def _measured(self) -> metrics.Measured:
        return metrics.Measured(metrics.DEPENDENCY_DURATION, {"dependency": self.dependency}, outcome_of)

    def _cannot_finish(self, _: BaseException) -> bool:
        """Whether the deadline would cut off the next attempt."""
        left = time_remaining()
        return left is not None and left < self._typical

    def _count_retry(self, attempt: nopanic.RetryAttempt) -> None:
        metrics.DEPENDENCY_RETRIES.add(1, {"dependency": self.dependency})
        log.warning(
            "dependency_retry",
            dependency=self.dependency,
            attempt=attempt.attempt,
            delay_seconds=round(attempt.delay, 3),
            error=type(attempt.exception).__name__,
            **(told(attempt.exception) if attempt.exception else {}),
        )

    def _log_failure(self, error: Exception) -> None:
        """Logs a call whose last attempt failed. A rejected call has its own log line or metric."""
        if isinstance(error, CircuitOpen | BulkheadFull):
            return
        facts = told(error)
        trace.get_current_span().set_attributes({name.replace("_", ".", 1): value for name, value in facts.items()})
        log.warning("dependency_failed", dependency=self.dependency, error=type(error).__name__, **facts)

    def _log_state(self, _: Any, old: str, new: str) -> None:
        level = log.info if new == "closed" else log.warning
        level("breaker_changed", dependency=self.dependency, old=old, new=new)


async def _raise(error: Exception) -> None:
    raise error
