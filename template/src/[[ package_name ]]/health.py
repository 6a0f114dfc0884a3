"""Health, in the terms of an orchestrator: live (do not kill), started (warm), ready (send work)."""

from dataclasses import dataclass, field

import structlog

from .guard import Guards
from .state import State
from .telemetry.audit import Audit

log = structlog.get_logger(__name__)

STORE = "the state store"
PATIENCE_SECONDS = 0.5  # with the state store; an orchestrator gives a probe one second


@dataclass
class Health:
    """The state that the probes report."""

    state: State
    guards: Guards
    audit: Audit
    awaited: set[str] = field(default_factory=lambda: {STORE})  # not reached yet since the start
    draining: bool = False

    @property
    def started(self) -> bool:
        return not self.awaited

    def reached(self, place: str) -> None:
        """Notes that what the start waits for is there; later outages do not change that."""
        self.awaited.discard(place)
        if self.started:
            log.info("started")

    async def ready(self) -> tuple[bool, dict[str, object]]:
        """Whether this replica takes work, and the report behind it.

        An unreachable state store and open breakers are reported, but do not make a replica unready: all replicas
        would see the same, and taking all of them out would turn a degraded service into none. A required audit trail
        that cannot be written makes this replica unready: it would refuse every run.
        """
        answers = await self.state.ping(within=PATIENCE_SECONDS)
        if self.state.shared:
            state = "ok" if answers else f"no answer for {PATIENCE_SECONDS} s"
        else:
            state = f"{self.state.reason}; working with this process's memory"
        trail = self.audit.trouble
        report: dict[str, object] = {
            "started": self.started,
            "draining": self.draining,
            "state": state,
            "audit": trail or "ok",
            "breakers": self.guards.states(),
        }
        ready = self.started and not self.draining and not (trail and self.audit.required)
        return ready, report
