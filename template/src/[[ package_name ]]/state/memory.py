"""`memory://`: one process, nothing survives it. The first run, tests, and the stand-in while Redis is away."""

import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from .store import MINUTE, Amount, Reserved, Window

ENTRIES = 10_000  # beyond this the least recently written entry is forgotten


@dataclass
class Account:
    spent: Amount = field(default_factory=Amount)
    held: dict[str, tuple[float, Amount]] = field(default_factory=dict)
    expires: float = 0.0


class MemoryStore:
    """Plain dictionaries. No operation awaits inside, which makes each of them atomic on the event loop."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._accounts: dict[str, Account] = {}
        self._hits: dict[str, deque[float]] = {}

    async def ping(self) -> None:
        return None

    async def get(self, key: str) -> bytes | None:
        expires, value = self._entries.get(key, (0.0, None))
        return value if expires > time.monotonic() else None

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        self._entries[key] = (time.monotonic() + ttl, value)
        self._entries.move_to_end(key)
        while len(self._entries) > ENTRIES:
            self._entries.popitem(last=False)

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        if await self.get(key) is not None:
            return False
        await self.set(key, value, ttl)
        return True

    async def replace(self, key: str, old: bytes, new: bytes | None, ttl: float) -> bool:
        if await self.get(key) != old:
            return False
        if new is None:
            del self._entries[key]
        else:
            await self.set(key, new, ttl)
        return True

    async def reserve(self, account: str, holder: str, amount: Amount, limit: Amount, ttl: float) -> Reserved:
        now = time.monotonic()
        for name in [name for name, old in self._accounts.items() if not old.held and old.expires < now]:
            del self._accounts[name]
        books = self._accounts.setdefault(account, Account(expires=now + ttl))
        books.held = {name: held for name, held in books.held.items() if held[0] > now}
        if books.spent.tokens >= limit.tokens or books.spent.micro_usd >= limit.micro_usd:
            return "spent"
        tokens = books.spent.tokens + amount.tokens + sum(held.tokens for _, held in books.held.values())
        micro_usd = books.spent.micro_usd + amount.micro_usd + sum(held.micro_usd for _, held in books.held.values())
        if books.held and (tokens > limit.tokens or micro_usd > limit.micro_usd):
            return "wait"
        books.held[holder] = (now + ttl, amount)
        return "held"

    async def settle(self, account: str, holder: str, spent: Amount, ttl: float) -> None:
        books = self._accounts.setdefault(account, Account())
        books.held.pop(holder, None)
        books.spent = Amount(books.spent.tokens + spent.tokens, books.spent.micro_usd + spent.micro_usd)
        books.expires = time.monotonic() + ttl

    async def hit(self, key: str, per_minute: int) -> Window:
        now = time.monotonic()
        hits = self._hits.setdefault(key, deque())
        while hits and hits[0] <= now - MINUTE:
            hits.popleft()
        allowed = len(hits) < per_minute
        if allowed:
            hits.append(now)
        return Window(allowed, per_minute - len(hits), hits[0] + MINUTE - now)

    async def aclose(self) -> None:
        self._entries.clear()
        self._accounts.clear()
        self._hits.clear()
