"""Limits on requests: a rate per key and per tenant, and a maximum of work in flight."""

import math
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from ..config.clients import LimitSettings
from ..errors import Overloaded, RateLimited
from ..state import State
from .auth import Caller


class Places:
    """A bulkhead between tenants: a number of places for all, and reserved ones on top.

    A tenant that fills all of them cannot keep the others out. These share the reserved ones evenly.
    """

    def __init__(self, most: int, reserved_share: float) -> None:
        self._most = most
        self._reserved = math.ceil(most * reserved_share)
        self._taken: Counter[str] = Counter()
        self._all = 0

    @contextmanager
    def taken(self, tenant: str) -> Generator[None]:
        """A place for one request.

        Raises:
            Overloaded: at once, if there is none: a queue would only make every request late.
        """
        if not self._has_room(tenant):
            raise Overloaded("This replica is working at its capacity; try again.", retry_after=1)
        self._taken[tenant] += 1
        self._all += 1
        try:
            yield
        finally:
            self._all -= 1
            self._taken[tenant] -= 1
            if not self._taken[tenant]:
                del self._taken[tenant]

    def _has_room(self, tenant: str) -> bool:
        if self._all < self._most:
            return True
        tenants = len(self._taken.keys() | {tenant})
        return self._all < self._most + self._reserved and self._taken[tenant] < self._reserved / tenants


class Limits:
    """The limits of one process. Rates are shared through the state store; work in flight is counted per process."""

    def __init__(self, settings: LimitSettings, state: State) -> None:
        self._settings = settings
        self._state = state
        self.work = Places(settings.max_in_flight, settings.reserved_share)

    async def admit(self, caller: Caller) -> dict[str, str]:
        """Counts a request against its key and its tenant; returns the `RateLimit-*` headers of the response.

        Raises:
            RateLimited: the limit of the key or of the tenant is reached; it carries the headers and `retry_after`.
        """
        limit = self._settings.requests_per_minute
        windows = [await self._state.hit(f"rate:key:{caller.key}", limit)]
        if windows[0].allowed:
            windows.append(await self._state.hit(f"rate:tenant:{caller.tenant}", limit))
        tightest = min(windows, key=lambda window: (window.allowed, window.remaining))
        headers = {
            "RateLimit-Limit": str(limit),
            "RateLimit-Remaining": str(tightest.remaining),
            "RateLimit-Reset": str(math.ceil(tightest.reset_seconds)),
        }
        if not tightest.allowed:
            raise RateLimited(
                f"At most {limit} requests a minute are accepted per key and per tenant.",
                retry_after=tightest.reset_seconds,
                headers=headers,
            )
        return headers
