"""Settings and addresses that several scenarios share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle

from support.processes import Service, Upstream

MINIMUM_CALLS = 10  # of the breaker
NEVER_OPENS = {"GUARD__BREAKER_FAILURE_RATE": 1.0, "GUARD__BREAKER_MINIMUM_CALLS": 1_000_000}


def fallback_of(upstream: Upstream) -> dict[str, object]:
    """The settings of a second model, `fallback`, at the same upstream."""
    return {
        "MODEL__FALLBACK": "openai-chat:fallback",
        "MODEL__FALLBACK_BASE_URL": f"{upstream.url}/v1",
        "MODEL__FALLBACK_API_KEY": "key-of-the-fallback",
    }


def in_turn(replicas: Sequence[Service]) -> Callable[[], str]:
    """Sends each request to the next replica."""
    turns = cycle(replicas)
    return lambda: next(turns).url
