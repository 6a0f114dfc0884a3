"""Patience: a durable task waits out a failure for which a request would be refused."""

import random

from ..config.queue import QueueSettings
from ..errors import ServiceError


def worth_another(error: ServiceError) -> bool:
    """Whether the failure is a passing one for a task: the service, or something that it needs, is away now."""
    return error.status in (503, 504)


def pause(attempt: int, wanted: float | None, settings: QueueSettings) -> float:
    """Seconds before the next attempt: exponential, the upper half of it at random, and no less than the failure asked
    for. QUEUE__RETRY_MAX_SECONDS bounds both.
    """
    longest = min(settings.retry_max_seconds, settings.retry_seconds * 2 ** (attempt - 1))
    return max(min(wanted or 0.0, settings.retry_max_seconds), random.uniform(longest / 2, longest))  # noqa: S311
