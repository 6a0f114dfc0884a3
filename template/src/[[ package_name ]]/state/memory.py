"""`memory://`: one process, nothing survives it. First runs, tests, and the stand-in while the shared store is away."""

import time
from collections import OrderedDict, deque

from .ledger import Account
from .store import MINUTE, Amount, Reserved, Window

# Beyond either, the least recently written entries are forgotten.
ENTRIES = 10_000
BYTES = 64 * 1024 * 1024


class MemoryStore:
    """Plain dictionaries. No operation awaits inside, which makes each of them atomic on the event loop."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0
        self._accounts: dict[str, Account] = {}
        self._hits: dict[str, deque[float]] = {}
        self._tidied_at = 0.0

    async def get(self, key: str) -> bytes | None:
        expires, value = self._entries.get(key, (0.0, None))
        return value if expires > time.monotonic() else None

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        self._forget(key)
        self._entries[key] = (time.monotonic() + ttl, value)
        self._bytes += len(value)
        while len(self._entries) > ENTRIES or self._bytes > BYTES:
            self._forget(next(iter(self._entries)))

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        if await self.get(key) not in (None, value):
            return False
        await self.set(key, value, ttl)
        return True

    async def replace(self, key: str, old: bytes, new: bytes | None, ttl: float) -> bool:
        found = await self.get(key)
        if found is None or found not in (old, new):
            return False
        if new is None:
            self._forget(key)
        else:
            await self.set(key, new, ttl)
        return True

    async def reserve(
        self, account: str, holder: str, amount: Amount, limit: Amount, ttl: float
    ) -> tuple[Reserved, Amount]:
        now = time.monotonic()
        if account in self._accounts and self._accounts[account].expires < now:
            del self._accounts[account]
        if now - self._tidied_at > MINUTE:  # not each time: among many accounts that takes longer than all the rest
            self._tidied_at = now
            self._accounts = {name: kept for name, kept in self._accounts.items() if kept.expires >= now}
            self._hits = {key: hits for key, hits in self._hits.items() if hits and hits[-1] > now - MINUTE}
        return self._accounts.setdefault(account, Account()).reserve(holder, amount, limit, now, ttl)

    async def settle(self, account: str, holder: str, spent: Amount, ttl: float) -> None:
        self._accounts.setdefault(account, Account()).settle(holder, spent, time.monotonic(), ttl)

    async def hit(self, key: str, per_minute: int) -> Window:
        now = time.monotonic()
        hits = self._hits.setdefault(key, deque())
        while hits and hits[0] <= now - MINUTE:
            hits.popleft()
        allowed = len(hits) < per_minute
        if allowed:
            hits.append(now)
        return Window(allowed, per_minute - len(hits), hits[0] + MINUTE - now)

    def _forget(self, key: str) -> None:
        _, value = self._entries.pop(key, (0.0, b""))
        self._bytes -= len(value)
