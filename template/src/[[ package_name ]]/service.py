"""Composes the service: the one place where settings become objects, for every door."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TextIO

from .config.secrets import Secrets
from .config.settings import Settings
from .guard import Guards
from .guard.outbound import Outbound
from .health import STORE, Health
from .models.routing import Models
from .runs.runner import Runner
from .state import State, open_state
from .telemetry import metrics
from .telemetry.audit import Audit

_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Service:
    """The parts of the service that doors use."""

    settings: Settings
    secrets: Secrets
    state: State
    runner: Runner
    outbound: Outbound
    guards: Guards
    health: Health
    audit: Audit


@asynccontextmanager
async def open_service(secrets: Secrets, audit_stream: TextIO | None = None) -> AsyncGenerator[Service]:
    """A running service; closes at the end what it opened. The audit trail goes to stdout by default."""
    settings = secrets.settings
    async with AsyncExitStack() as stack:
        audit = Audit(settings.audit_file, audit_stream, required=settings.audit_required)
        stack.callback(audit.close)
        metrics.observe_audit(lambda: bool(audit.trouble))
        guards = Guards(settings.guard)
        state = open_state(
            settings.state_url.get_secret_value(), guards, shared_breakers=settings.guard.shared_breakers
        )
        stack.push_async_callback(state.aclose)
        outbound = Outbound(settings, guards)
        stack.push_async_callback(outbound.aclose)
        models = Models(settings.model, secrets, outbound, guards)
        health = Health(state, guards, audit)
        for work in (secrets.keep_fresh(), _start(health, state)):
            stack.push_async_callback(_cancelled, asyncio.create_task(work))
        gc.freeze()  # else each pass of the collector looks at all libraries too: half a second for a megabyte of "[],"
        yield Service(
            settings=settings,
            secrets=secrets,
            state=state,
            runner=Runner(settings, secrets, state, models, outbound, audit),
            outbound=outbound,
            guards=guards,
            health=health,
            audit=audit,
        )


async def _start(health: Health, state: State) -> None:
    """Waits for the state store, without which a replica has not started."""
    while not await state.ping():
        await asyncio.sleep(_RETRY_SECONDS)
    health.reached(STORE)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
