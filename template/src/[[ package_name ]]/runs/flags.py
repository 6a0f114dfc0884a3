"""The kill switch: stops all runs at once, on every replica, without a deploy."""

import time

from ..errors import SwitchedOff
from ..state import State

KILL_SWITCH = "kill_switch"
NAMES = {KILL_SWITCH: "on: every run is refused with 503 and Retry-After"}
_CACHED_SECONDS = 1.0
_FOREVER = 10 * 365 * 86_400.0


class Flags:
    """Switches in the state store, so that all replicas follow; each replica reads them at most once a second."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._killed: bool | None = None  # unknown before the first reading has ended
        self._checked = 0.0

    async def get(self, name: str) -> str:
        return (await self._state.get(f"flag:{name}") or b"off").decode()

    async def set(self, name: str, value: str) -> None:
        await self._state.set(f"flag:{name}", value.encode(), _FOREVER)

    async def check_kill_switch(self) -> None:
        """Raises:
        SwitchedOff: while the kill switch is on.
        """
        if self._killed is None or time.monotonic() - self._checked > _CACHED_SECONDS:
            self._checked = time.monotonic()
            value = await self.get(KILL_SWITCH)
            if self._state.shared:  # else it stays as it was: an outage of the store turns nothing on again
                self._killed = value == "on"
        if self._killed:
            raise SwitchedOff("An operator has switched this service off.", retry_after=30)
