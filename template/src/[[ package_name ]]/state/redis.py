"""`redis://`, `rediss://` and `redis+sentinel://`: a store that all replicas share."""

import uuid
from typing import cast

from redis.exceptions import RedisError

from . import refusals, scripts
from .connections import SECONDS, Client
from .store import ACCOUNT_SECONDS, MINUTE, Amount, Reserved, Window

SETTLED_SECONDS = 600.0  # for so long, a repeated settlement is recognised and books nothing


class RedisStore:
    """Counts are in hashes and sorted sets, everything else is in plain keys."""

    attempt_seconds = 1.25 * SECONDS  # the client's own time-out comes first: it leaves the connection
    unreachable: tuple[type[Exception], ...] = (RedisError, OSError)

    def __init__(self, url: str, *, shared_breakers: bool = False) -> None:
        self.client = Client(url)
        self._shared_breakers = shared_breakers
        self._add = self.client.register_script(scripts.ADD)
        self._replace = self.client.register_script(scripts.REPLACE)
        self._reserve = self.client.register_script(scripts.RESERVE)
        self._settle = self.client.register_script(scripts.SETTLE)
        self._hit = self.client.register_script(scripts.HIT)

    def transient(self, error: BaseException) -> bool:
        return refusals.passing(error)

    def away(self, error: BaseException) -> bool:
        return refusals.away(error)

    def reason(self, error: Exception) -> str:
        return refusals.words(error)

    async def ping(self, key: str) -> None:
        """Sends one of each command, so that the error names the right that the user lacks."""
        pipeline = self.client.pipeline(transaction=False)
        for command in scripts.every_command(key, shared_breakers=self._shared_breakers):
            pipeline.execute_command(*command)
        async with self.client.renewing():
            for answer in await pipeline.execute(raise_on_error=False):
                if isinstance(answer, RedisError):
                    raise answer

    async def get(self, key: str) -> bytes | None:
        return cast(bytes | None, await self.client.get(key))

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        await self.client.set(key, value, px=_ms(ttl))

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        return bool(await self._add(keys=[key], args=[value, _ms(ttl)]))

    async def replace(self, key: str, old: bytes, new: bytes | None, ttl: float) -> bool:
        return bool(await self._replace(keys=[key], args=[old, new or b"", _ms(ttl)]))

    async def reserve(
        self, account: str, holder: str, amount: Amount, limit: Amount, ttl: float
    ) -> tuple[Reserved, Amount]:
        amounts = [amount.tokens, amount.micro_usd, limit.tokens, limit.micro_usd]
        arguments = [holder, *amounts, _ms(ttl), _ms(ACCOUNT_SECONDS)]
        answer, tokens, micro_usd = await self._reserve(keys=_account(account), args=arguments)
        return cast(Reserved, answer.decode()), Amount(tokens, micro_usd)

    async def settle(self, account: str, holder: str, spent: Amount, ttl: float) -> None:
        amounts = [spent.tokens, spent.micro_usd]
        await self._settle(keys=_account(account), args=[holder, *amounts, _ms(ttl), _ms(SETTLED_SECONDS)])

    async def hit(self, key: str, per_minute: int) -> Window:
        allowed, hits, reset_ms = await self._hit(keys=[key], args=[per_minute, _ms(MINUTE), uuid.uuid4().hex])
        return Window(bool(allowed), per_minute - hits, reset_ms / 1000)

    async def aclose(self) -> None:
        await self.client.aclose()


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _account(name: str) -> list[str]:
    """Its keys, all in one slot of a cluster."""
    return [f"{{{name}}}:spent", f"{{{name}}}:held", f"{{{name}}}:settled"]
