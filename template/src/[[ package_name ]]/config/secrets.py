"""The current settings: secrets are read again while the service runs, without a restart."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

import structlog

from . import loading
from .masking import secret_values
from .settings import Settings

log = structlog.get_logger(__name__)

SHORTEST_INTERVAL = 0.5  # seconds; a flood of refused calls must not flood the secret store


def longest_first(secrets: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(secrets, key=len, reverse=True))


class Secrets:
    """Holds the newest settings. Callers read a key when they use it, so that rotation reaches every call."""

    def __init__(self, settings: Settings, *, load: Callable[[], Settings] = loading.load) -> None:
        self.settings = settings
        self._values = longest_first(secret_values(settings))
        self._load = load
        self._loaded = -SHORTEST_INTERVAL
        self._refreshing = asyncio.Lock()

    def values(self) -> tuple[str, ...]:
        """Every secret in use, longest first, for masking log lines and answers."""
        return self._values

    async def refresh(self) -> None:
        """Reads the secrets again. Concurrent callers share one reading.

        If the source fails or the settings are invalid, the old ones stay in force.
        """
        asked = time.monotonic()
        async with self._refreshing:
            if self._loaded > asked:  # another caller has read them meanwhile
                return
            await asyncio.sleep(self._loaded + SHORTEST_INTERVAL - time.monotonic())
            self._loaded = time.monotonic()
            try:
                fresh = await asyncio.to_thread(self._load)
            except Exception as error:  # noqa: BLE001 the client of a secret store may raise anything
                reason = {"reason": "; ".join(error.problems)} if isinstance(error, loading.SettingsError) else {}
                log.error("secrets_refresh_failed", error=type(error).__name__, kept="the current secrets", **reason)
                return
            if fresh == self.settings:
                return
            # The previous secrets stay masked: calls made with them may still fail with a message that has them.
            self._values = longest_first(secret_values(fresh) | secret_values(self.settings))
            self.settings = fresh
            log.info("secrets_rotated")

    async def keep_fresh(self) -> None:
        """Refreshes every `SECRETS__REFRESH_SECONDS` until cancelled."""
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(self.settings.secrets.refresh_seconds)
                await self.refresh()
