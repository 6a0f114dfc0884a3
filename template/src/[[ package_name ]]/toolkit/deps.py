"""What the agent's tools get from the service."""

from dataclasses import dataclass

from ..agent.settings import AgentSettings
from ..guard.outbound import Outbound


@dataclass(frozen=True)
class Deps:
    """Handed to every tool as `ctx.deps`."""

    http: Outbound
    settings: AgentSettings
