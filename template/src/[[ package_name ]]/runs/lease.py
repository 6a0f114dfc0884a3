"""A lease: the right to do something that nobody else does at the same time. It lapses when it is not renewed."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from ..errors import ServiceError

log = structlog.get_logger(__name__)


async def kept(
    renew: Callable[[], Awaitable[bool]], *, every: float, seconds: float, left: float | None = None
) -> None:
    """Renews a lease. Returns when it is lost: somebody else has it, or it could not be renewed in time.

    Args:
        renew: renews it for `seconds`; False where somebody else has it.
        every: pause between two renewals, in seconds.
        left: seconds that it lasts without a renewal, where they are fewer.
    """
    until = time.monotonic() + (seconds if left is None else left)
    while True:
        await asyncio.sleep(every)
        renewed_until = time.monotonic() + seconds
        try:
            if not await renew():
                return
            until = renewed_until
        except ServiceError as error:
            log.warning("lease_not_renewed", error=error.slug)
            if time.monotonic() > until:
                return
