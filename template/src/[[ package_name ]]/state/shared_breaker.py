"""A breaker that all replicas share over Redis: what one of them learns of a dependency, the others need not.

While Redis is not in use it lets calls through, and each replica's own breaker, which stands below it, decides alone.
An error of Redis ends its use (see failover.py), so at most one command of a call waits for it.
"""

from collections.abc import Callable
from typing import Any

from nopanic_redis import redis_circuit_breaker
from redis.exceptions import RedisError

from ..config.settings import GuardSettings
from ..guard import CircuitOpen
from .connections import Client
from .failover import State

WINDOW_SECONDS = 30.0


class SharedBreaker(redis_circuit_breaker):
    """nopanic's, which also knows what it last saw, and does not wait for ever for a probe whose replica died."""

    __slots__ = ("_forget_seconds", "_store", "state")

    def __init__(
        self,
        client: Client,
        store: State,
        dependency: str,
        settings: GuardSettings,
        transient: Callable[[BaseException], bool],
    ) -> None:
        super().__init__(
            client,
            name=dependency,
            prefix=f"{__name__.partition('.')[0]}:shared",
            failure_threshold=settings.breaker_failure_rate,
            min_calls=settings.breaker_minimum_calls,
            window=WINDOW_SECONDS,
            reset_timeout=settings.breaker_open_seconds,
            on=transient,
        )
        self._store = store
        self.state = "closed"
        self._forget_seconds = int(2 * (settings.breaker_open_seconds + settings.timeout_seconds)) + 1

    async def _run_async(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not self._store.shared:
            self.state = "closed"
            return await fn(*args, **kwargs)
        try:
            result = await super()._run_async(fn, args, kwargs)
        except CircuitOpen:
            self.state = "open"
            try:
                # A probe whose replica died would leave it half-open for ever: forgotten, it is closed.
                await self._client.expire(self._key("state"), self._forget_seconds, nx=True)
            except RedisError as error:
                self._store_error(fn, error)
            raise
        self.state = "closed"
        return result

    def _store_error(self, fn: Callable[..., Any] | None, exc: Exception) -> None:
        super()._store_error(fn, exc)
        self._store.lost(exc)
