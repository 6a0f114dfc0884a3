"""What the agent's tools get from the service."""

from dataclasses import dataclass

from ..outbound import Outbound
from .settings import AgentSettings


@dataclass(frozen=True)
class Deps:
    """Handed to every tool as `ctx.deps`."""

    http: Outbound
    settings: AgentSettings
