"""Limits on requests: a rate per key and per tenant, and a maximum of work in flight."""

import math

from ..config.clients import LimitSettings
from ..errors import Overloaded, RateLimited
from ..guard.places import Places
from ..state import State
from .auth import Caller


def places(most: int, reserved_share: float) -> Places:
    """Places for requests, each of which gets one or is refused as Overloaded."""
    return Places(most, reserved_share, _at_capacity)


def _at_capacity() -> Overloaded:
    return Overloaded("This replica is working at its capacity; try again.", retry_after=1)


class Limits:
    """The limits of one process. Rates are shared through the state store; work in flight is counted per process."""

    def __init__(self, settings: LimitSettings, state: State) -> None:
        self._settings = settings
        self._state = state
        self.work = places(settings.max_in_flight, settings.reserved_share)

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
