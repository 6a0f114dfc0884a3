"""The settings in force: secrets are read again while the service runs, without a restart."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

import structlog

from . import loading
from .settings import Settings

log = structlog.get_logger(__name__)

SHORTEST_INTERVAL = 0.5  # seconds; a flood of refused calls must not become one on the secret store


def longest_first(secrets: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(secrets, key=len, reverse=True))


class Secrets:
    """Holds the newest settings. Whoever needs a key asks at the time of use, so that rotation reaches every call."""

    def __init__(self, settings: Settings, *, load: Callable[[], Settings] = loading.load) -> None:
        self.settings = settings
        self._values = longest_first(loading.secret_values(settings))
        self._load = load
        self._loaded = -SHORTEST_INTERVAL
        self._refreshing = asyncio.Lock()

    def values(self) -> tuple[str, ...]:
        """Every secret in use, longest first, for redaction: asked for by each log line and each answer."""
        return self._values

    async def refresh(self) -> None:
        """Reads the secrets again. Who asks while a reading is due shares it.

        A source that fails, or settings that would be refused, leave the old ones in force.
        """
        asked = time.monotonic()
        async with self._refreshing:
            if self._loaded > asked:  # somebody else has read them since
                return
            await asyncio.sleep(self._loaded + SHORTEST_INTERVAL - time.monotonic())
            self._loaded = time.monotonic()
            try:
                fresh = await asyncio.to_thread(self._load)
            except Exception as error:  # noqa: BLE001 whatever a secret store's client raises
                log.error("secrets_refresh_failed", error=type(error).__name__, kept="the ones in force")
                return
            if fresh == self.settings:
                return
            # The ones before stay masked: calls that were made with them may still fail and say so.
            self._values = longest_first(loading.secret_values(fresh) | loading.secret_values(self.settings))
            self.settings = fresh
            log.info("secrets_rotated")

    async def keep_fresh(self) -> None:
        """Refreshes every `SECRETS__REFRESH_SECONDS` until cancelled."""
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(self.settings.secrets.refresh_seconds)
                await self.refresh()
