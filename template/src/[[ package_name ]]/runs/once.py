"""Does work once: for idempotent requests, cached answers and concurrent identical requests.

The first caller adds a record and does the work; the other callers wait for its answer. While it works, it renews a
short lease on the record. After a crash the lease lapses, and a waiting caller takes over.
"""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from ..errors import Conflict
from ..guard import afterwards
from ..state import State
from .lease import kept

LEASE_SECONDS = 10.0
_RENEW_SECONDS = 3.0
_POLL_SECONDS = 0.05


class Once:
    """Records in the state store, under `prefix`."""

    def __init__(self, state: State, prefix: str) -> None:
        self._state = state
        self._prefix = prefix

    async def do(
        self, key: str, fingerprint: str, ttl: float, work: Callable[[], Awaitable[str]], *, patience: float
    ) -> tuple[str, bool]:
        """The answer of `work` for `key`, and whether an earlier caller did the work.

        Only answers are kept: when `work` raises, its record is removed and the next caller tries anew.

        Args:
            key: identifies the work; must contain the tenant.
            fingerprint: of the request, so that one key cannot stand for two requests.
            ttl: seconds an answer is kept.
            patience: seconds to wait for the first caller's answer.

        Raises:
            Conflict: the key was used with another fingerprint, or its work is still running after `patience`.
        """
        key = self._prefix + key
        until = time.monotonic() + patience
        running = json.dumps({"fingerprint": fingerprint, "owner": uuid.uuid4().hex}).encode()
        while not await self._state.add(key, running, LEASE_SECONDS):
            found = json.loads(await self._state.get(key) or "null")
            if found is None:
                continue  # the record has just lapsed
            if found["fingerprint"] != fingerprint:
                raise Conflict("This Idempotency-Key was used with another request body; use a new key.")
            if "answer" in found:
                return found["answer"], True
            if time.monotonic() > until:
                raise Conflict("The first request with this Idempotency-Key is still running.", retry_after=1)
            await asyncio.sleep(_POLL_SECONDS)
        async with self._lease(key, running):
            answer = await work()
            done = json.dumps({"fingerprint": fingerprint, "answer": answer}).encode()
            if not await self._state.replace(key, running, done, ttl):
                await self._state.add(key, done, ttl)  # the record lapsed, or is in a store that is no longer in use
            return answer, False

    @asynccontextmanager
    async def _lease(self, key: str, running: bytes) -> AsyncGenerator[None]:
        async def renew() -> bool:
            await self._state.replace(key, running, running, LEASE_SECONDS)
            return True  # a store that is away for a while knows nothing of the record

        renewal = asyncio.create_task(kept(renew, every=_RENEW_SECONDS, seconds=LEASE_SECONDS))
        try:
            yield
        except BaseException:
            with contextlib.suppress(asyncio.CancelledError):
                await afterwards(self._state.replace(key, running, None, 0))
            raise
        finally:
            renewal.cancel()
