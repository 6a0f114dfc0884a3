"""What outlives a request: conversations, idempotency records, budgets, flags. In memory, or in Redis for replicas."""

from .failover import State, open_state
from .store import Amount, Store

__all__ = ["Amount", "State", "Store", "open_state"]
