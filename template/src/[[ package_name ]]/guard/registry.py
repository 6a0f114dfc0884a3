"""The guards of the process."""

from collections.abc import Callable
from typing import Any

from ..config.settings import GuardSettings
from ..telemetry import metrics
from .policy import Guard

STATES = {"closed": 0, "half_open": 1, "open": 2}


class Guards:
    """One guard per dependency, made on first use."""

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._share: Callable[..., Any] | None = None
        self._guards: dict[str, Guard] = {}
        metrics.observe_breakers(lambda: {name: STATES.get(guard.state, 2) for name, guard in self._guards.items()})

    def get(self, dependency: str, transient: Callable[[BaseException], bool], **overrides: Any) -> Guard:
        """The guard of `dependency`. The first call makes it and may override settings; later overrides do nothing."""
        if dependency not in self._guards:
            settings = self._settings.model_copy(update=overrides)
            shared = self._share(dependency, settings, transient) if self._share else None
            self._guards[dependency] = Guard(dependency, settings, transient, shared=shared)
        return self._guards[dependency]

    def share(self, make: Callable[[str, GuardSettings, Callable[[BaseException], bool]], Any]) -> None:
        """From now on, new guards get a shared breaker from `make` as well."""
        self._share = make

    def states(self) -> dict[str, str]:
        return {name: guard.state for name, guard in self._guards.items()}
