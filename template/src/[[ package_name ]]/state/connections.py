"""The connections to Redis: where they lead, and when new ones replace them.

After a failover the address leads to the new primary, but old connections still lead to the old one: a replica now, or
a machine that is gone. After an error that concerns the server, all further commands therefore use new connections.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import ConnectionPool, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError

from .refusals import away
from .scripts import digest

CONNECTIONS = 64
SECONDS = 1.0  # time-out to connect, and to answer; Redis in the same network takes under a millisecond
SENTINEL_SECONDS = 0.3  # the same for a Sentinel: two that hang leave time to ask a third one and to connect
LIFETIME_SECONDS = 60.0  # of a pool: an address that leads elsewhere is followed even if the old server still answers
FOLLOW_SECONDS = 1.0  # Sentinels demote the old primary seconds after they name a new one; its writes then are lost

_NO_RETRIES = Retry(NoBackoff(), 0)  # the guard retries


class Client(Redis):
    """A client with one bounded pool. Commands wait for a free connection; the first command opens the first one."""

    def __init__(self, url: str) -> None:
        self._make_pool = pools(url)
        self._made = self._followed = time.monotonic()
        self._later: set[asyncio.Task[None]] = set()
        super().__init__(connection_pool=self._make_pool())

    @asynccontextmanager
    async def renewing(self) -> AsyncGenerator[None]:
        """Surrounds commands. Commands on old connections may finish; the last one closes them."""
        now = time.monotonic()
        if now - self._made > LIFETIME_SECONDS:
            self._renew()
        pool = self.connection_pool
        if isinstance(pool, Primary) and now - self._followed > FOLLOW_SECONDS:
            self._followed = now
            self._begin(self._follow(pool))
        try:
            yield
        except (RedisError, OSError) as error:
            if pool is self.connection_pool and away(error):
                self._renew()
            raise
        finally:
            if pool is not self.connection_pool:
                self._begin(_close(pool))

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        async with self.renewing():
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def register_script(self, script: Any) -> Any:
        """A script that is sent in full if the server does not know it.

        redis-py's own loads it first: that needs another right, and fails if the two commands reach different servers.
        """
        known_as = digest(script)

        async def run(*, keys: Sequence[str], args: Sequence[Any]) -> Any:
            try:
                return await self.evalsha(known_as, len(keys), *keys, *args)
            except NoScriptError:  # a restarted server, or another one
                return await self.eval(script, len(keys), *keys, *args)

        return run

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await _close(self.connection_pool)
        while self._later:
            await asyncio.gather(*self._later)
        if isinstance(self.connection_pool, Primary):
            await self.connection_pool.sentinel_manager.aclose()

    async def _follow(self, pool: "Primary") -> None:
        with suppress(RedisError, OSError):
            address = await pool.sentinel_manager.discover_master(pool.service_name)
            if pool is self.connection_pool and pool.master_address not in (None, address):
                self._renew()

    def _renew(self) -> None:
        self._begin(_close(self.connection_pool))
        self.connection_pool = self._make_pool()
        self._made = time.monotonic()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)


class Primary(SentinelConnectionPool, BlockingConnectionPool):
    """Asks the Sentinels for the primary each time that it opens a connection."""

    async def get_master_address(self) -> Any:
        try:
            return await super().get_master_address()  # type: ignore[no-untyped-call]
        except MasterNotFoundError as error:
            said = f"no Sentinel names a working primary for {self.service_name}"
            if silent := str(error).count("network:"):
                said += f"; {silent} of {len(self.sentinel_manager.sentinels)} Sentinels do not answer"
            if "auth:" in str(error):
                said += "; the Sentinels want a password, give ?sentinel_password=… in STATE_URL"
            raise RedisConnectionError(said) from error


def pools(url: str) -> Callable[[], BlockingConnectionPool]:
    """A function that makes pools for `url`. Options in its query override the ones here."""
    options: dict[str, Any] = {
        "max_connections": CONNECTIONS,
        "timeout": SECONDS,
        "socket_connect_timeout": SECONDS,
        "socket_timeout": SECONDS,
        "retry": _NO_RETRIES,
    }
    address = urlsplit(url)
    if not address.scheme.endswith("+sentinel"):
        return partial(BlockingConnectionPool.from_url, url, **options)
    login, at, places = address.netloc.rpartition("@")
    service, _, db = address.path.removeprefix("/").partition("/")
    scheme = address.scheme.removesuffix("+sentinel")
    given: dict[str, Any] = dict(parse_url(f"{scheme}://{login}{at}/{db}?{address.query}"))
    tls = given.pop("connection_class", None) is not None
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        [_place(place) for place in places.split(",")],
        sentinel_kwargs={
            "socket_connect_timeout": SENTINEL_SECONDS,
            "socket_timeout": SENTINEL_SECONDS,
            "retry": _NO_RETRIES,
            "username": given.pop("sentinel_username", None),
            "password": given.pop("sentinel_password", None),
            "ssl": tls,
            **{name: value for name, value in given.items() if name.startswith("ssl_")},
        },
    )
    kind = SentinelManagedSSLConnection if tls else SentinelManagedConnection
    return partial(Primary, service, sentinels, connection_class=kind, **options | given)


def _place(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "localhost", parts.port or 26379


async def _close(pool: ConnectionPool) -> None:
    with suppress(RedisError, OSError):  # the server may be gone
        await pool.disconnect(inuse_connections=False)
