"""`redis://` and `rediss://`: shared by all replicas. The only place that opens a connection to Redis."""

import uuid
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from .store import MINUTE, Amount, Reserved, Window

CONNECTIONS = 64
SECONDS = 2.0  # connect and answer; Redis in the same network takes under a millisecond

REPLACE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""

# A reservation is a member `holder tokens micro_usd` of a sorted set whose score is when it lapses.
RESERVE = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local tokens = tonumber(redis.call('HGET', KEYS[1], 'tokens') or 0)
local micro_usd = tonumber(redis.call('HGET', KEYS[1], 'micro_usd') or 0)
if tokens >= tonumber(ARGV[4]) or micro_usd >= tonumber(ARGV[5]) then return 'spent' end
local held = redis.call('ZRANGE', KEYS[2], 0, -1)
for _, member in ipairs(held) do
  local t, u = string.match(member, ' (%d+) (%d+)$')
  tokens, micro_usd = tokens + t, micro_usd + u
end
local full = tokens + ARGV[2] > tonumber(ARGV[4]) or micro_usd + ARGV[3] > tonumber(ARGV[5])
if #held > 0 and full then return 'wait' end
redis.call('ZADD', KEYS[2], now + ARGV[6], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
return 'held'
"""

SETTLE = """
for _, member in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  if string.sub(member, 1, #ARGV[1] + 1) == ARGV[1] .. ' ' then redis.call('ZREM', KEYS[2], member) end
end
redis.call('HINCRBY', KEYS[1], 'tokens', ARGV[2])
redis.call('HINCRBY', KEYS[1], 'micro_usd', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
"""

# A hit is a member of a sorted set whose score is its time; Redis' own clock, so that replicas' need not agree.
HIT = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
local hits = redis.call('ZCARD', KEYS[1])
local allowed = 0
if hits < tonumber(ARGV[1]) then
  redis.call('ZADD', KEYS[1], now, ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  hits, allowed = hits + 1, 1
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {allowed, hits, oldest[2] + ARGV[2] - now}
"""


class RedisStore:
    """One bounded pool, waited for. Retries are the guard's business, so the client makes none of its own."""

    unreachable: tuple[type[Exception], ...] = (RedisError, OSError)

    def __init__(self, url: str) -> None:
        pool: Any = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=SECONDS,
            socket_connect_timeout=SECONDS,
            socket_timeout=SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self.client: Redis = Redis.from_pool(pool)
        self._replace = self.client.register_script(REPLACE)
        self._reserve = self.client.register_script(RESERVE)
        self._settle = self.client.register_script(SETTLE)
        self._hit = self.client.register_script(HIT)

    def transient(self, error: BaseException) -> bool:
        return isinstance(error, RedisConnectionError | RedisTimeoutError | OSError)

    def reason(self, error: Exception) -> str:
        return type(error).__name__

    async def ping(self) -> None:
        await self.client.ping()

    async def get(self, key: str) -> bytes | None:
        return cast(bytes | None, await self.client.get(key))

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        await self.client.set(key, value, px=_ms(ttl))

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        return bool(await self.client.set(key, value, px=_ms(ttl), nx=True))

    async def replace(self, key: str, old: bytes, new: bytes | None, ttl: float) -> bool:
        return bool(await self._replace(keys=[key], args=[old, new or b"", _ms(ttl)]))

    async def reserve(self, account: str, holder: str, amount: Amount, limit: Amount, ttl: float) -> Reserved:
        amounts = [amount.tokens, amount.micro_usd, limit.tokens, limit.micro_usd]
        answer = await self._reserve(keys=_account(account), args=[holder, *amounts, _ms(ttl)])
        return cast(Reserved, answer.decode())

    async def settle(self, account: str, holder: str, spent: Amount, ttl: float) -> None:
        await self._settle(keys=_account(account), args=[holder, spent.tokens, spent.micro_usd, _ms(ttl)])

    async def hit(self, key: str, per_minute: int) -> Window:
        allowed, hits, reset_ms = await self._hit(keys=[key], args=[per_minute, _ms(MINUTE), uuid.uuid4().hex])
        return Window(bool(allowed), per_minute - hits, reset_ms / 1000)

    async def aclose(self) -> None:
        await self.client.aclose()


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _account(name: str) -> list[str]:
    """Both keys in one slot of a cluster."""
    return [f"{{{name}}}:spent", f"{{{name}}}:held"]
