"""The parts of the service that the agent's tools may use."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from ..agent.settings import AgentSettings
from ..config.settings import Settings
from ..guard import Guards
from ..guard.outbound import Outbound


class Http(Protocol):
    """The guarded HTTP client. Each dependency has retries, a circuit breaker and a bulkhead of its own."""

    async def get_json(self, dependency: str, url: str, params: dict[str, str], *, timeout: float = 5.0) -> Any:
        """The JSON at `url`, which gets `params` besides those that it has.

        Args:
            dependency: names the policy, and is a metric label; so it comes from a bounded set.
            timeout: seconds of one attempt. It belongs to the dependency: the first call sets it for all others.

        Raises:
            ForbiddenAddress: the host resolves to a private address that AGENT__ALLOWED_PRIVATE_HOSTS does not list, or
                `url` is no address.
            Unavailable: the API gave no usable answer, or its circuit breaker is open.
        """
        ...


@dataclass(frozen=True)
class Deps:
    """Passed to every tool as `ctx.deps`."""

    http: Http
    settings: AgentSettings


@asynccontextmanager
async def open_deps(**settings: Any) -> AsyncGenerator[Deps]:
    """`Deps` outside a run, for tests and scripts; `settings` override fields of AgentSettings."""
    every = Settings.model_validate({"agent": settings})
    async with aclosing(Outbound(every, Guards(every.guard))) as http:
        yield Deps(http, every.agent)
