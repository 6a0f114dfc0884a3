"""The one policy for every call that leaves the process: retry → circuit breaker → bulkhead → time-out.

The policies are nopanic's; no code outside this folder imports it. Each dependency has one guard, so that all its
callers share one breaker, one bulkhead and one retry budget. The fallback is above the guard, in models/routing.py.
"""

from nopanic import BulkheadFull, CircuitOpen

from .deadline import afterwards, at_most, deadline, time_remaining
from .policy import Guard
from .registry import Guards

__all__ = ["BulkheadFull", "CircuitOpen", "Guard", "Guards", "afterwards", "at_most", "deadline", "time_remaining"]
