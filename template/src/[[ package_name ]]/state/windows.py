"""Moving windows, by the limits library: the same on memory and on Redis."""

import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import Storage
from limits.aio.strategies import MovingWindowRateLimiter

from .store import Window


class MovingWindow:
    """Exact under concurrency; on a full window nothing is counted."""

    def __init__(self, storage: Storage) -> None:
        self._limiter = MovingWindowRateLimiter(storage)

    async def hit(self, key: str, per_minute: int) -> Window:
        item = RateLimitItemPerMinute(per_minute)
        allowed = await self._limiter.hit(item, key)
        stats = await self._limiter.get_window_stats(item, key)
        return Window(allowed, max(0, stats.remaining), max(0.0, stats.reset_time - time.time()))
