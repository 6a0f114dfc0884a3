"""The operations of a state store. Budgets, limits, conversations, records and flags are made of these few."""

from dataclasses import dataclass
from typing import Literal, Protocol

MINUTE = 60.0  # seconds
ACCOUNT_SECONDS = 2 * 86_400.0  # for so long, an account outlives its last reservation
Reserved = Literal["held", "wait", "spent"]


@dataclass(frozen=True)
class Amount:
    """What a run takes from a budget: tokens, and millionths of a US dollar."""

    tokens: int = 0
    micro_usd: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.tokens + other.tokens, self.micro_usd + other.micro_usd)


@dataclass(frozen=True)
class Window:
    """A minute's moving window after a hit: whether the hit was let in, how many more would be, and the seconds until
    the oldest one leaves it.
    """

    allowed: bool
    remaining: int
    reset_seconds: float


class Store(Protocol):
    """Each operation is atomic, and may be repeated if its answer was lost. `ttl` is in seconds."""

    async def get(self, key: str) -> bytes | None: ...

    async def set(self, key: str, value: bytes, ttl: float) -> None: ...

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        """Sets `key` unless it is there; False when it holds something other than `value`."""
        ...

    async def replace(self, key: str, old: bytes, new: bytes | None, ttl: float) -> bool:
        """Sets `key` if it holds `old`, or `new` already; deletes it when `new` is None.

        False when it holds something else.
        """
        ...

    async def reserve(
        self, account: str, holder: str, amount: Amount, limit: Amount, ttl: float
    ) -> tuple[Reserved, Amount]:
        """Holds `amount` until it is settled. If it is not settled within `ttl`, it counts as spent.

        `wait` when it would fit if the other holders spent less; `spent` when the limit is reached. The second result
        is the sum of the account's reservations that have lapsed and that no earlier call has reported.
        """
        ...

    async def settle(self, account: str, holder: str, spent: Amount, ttl: float) -> None:
        """Ends a reservation and books what was spent; the account is forgotten after `ttl`."""
        ...

    async def hit(self, key: str, per_minute: int) -> Window:
        """Counts one more against the moving window of `key`, unless that is full."""
        ...


class SharedStore(Store, Protocol):
    """A store that several processes share, and that may be unreachable."""

    async def ping(self, key: str) -> None:
        """Tries everything that the service needs, a write at least. Nothing else uses `key`."""
        ...

    attempt_seconds: float
    """The time of one attempt. A store that hangs costs a request two of them."""

    unreachable: tuple[type[Exception], ...]
    """What its operations raise when it cannot serve."""

    def transient(self, error: BaseException) -> bool:
        """Whether another attempt may help."""
        ...

    def away(self, error: BaseException) -> bool:
        """Whether `error` would meet every operation, and not just this one."""
        ...

    def reason(self, error: Exception) -> str:
        """What an operator should know of it."""
        ...

    async def aclose(self) -> None: ...
