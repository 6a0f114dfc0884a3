"""A bulkhead between tenants."""

import math
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager

import structlog


def tenant() -> str:
    """The tenant that the current work is for; nothing if it is for none."""
    return str(structlog.contextvars.get_contextvars().get("tenant", ""))


class Places:
    """A number of places for all, and reserved ones on top.

    A tenant that fills all of them cannot keep the others out. These share the reserved ones evenly.

    Args:
        most: the places for all.
        reserved_share: the reserved places, as a share of `most`.
        refusal: makes the error for those that get no place.
    """

    def __init__(self, most: int, reserved_share: float, refusal: Callable[[], Exception]) -> None:
        self._most = most
        self._reserved = math.ceil(most * reserved_share)
        self._refusal = refusal
        self._taken: Counter[str] = Counter()
        self.all_taken = 0

    @contextmanager
    def taken(self, tenant: str) -> Generator[None]:
        """A place, until the end of the block.

        Raises:
            Exception: the refusal, at once, if there is none: a queue would only make every request late.
        """
        if not self._has_room(tenant):
            raise self._refusal()
        self._taken[tenant] += 1
        self.all_taken += 1
        try:
            yield
        finally:
            self.all_taken -= 1
            self._taken[tenant] -= 1
            if not self._taken[tenant]:
                del self._taken[tenant]

    def _has_room(self, tenant: str) -> bool:
        if self.all_taken < self._most:
            return True
        tenants = len(self._taken.keys() | {tenant})
        return self.all_taken < self._most + self._reserved and self._taken[tenant] < self._reserved / tenants
