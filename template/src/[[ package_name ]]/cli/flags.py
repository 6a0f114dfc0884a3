"""`flags`: switches that all replicas follow."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

import typer

from ..config import loading
from ..config.settings import Settings
from ..telemetry import logs
from .terminal import fail, operator, refuse, trail

if TYPE_CHECKING:  # other commands do not wait for these
    from ..runs.flags import Flags

flags_app = typer.Typer(help="Switches that all replicas follow.", no_args_is_help=True)


@flags_app.command("list")
def flags_list() -> None:
    """List the switches and their values."""
    from ..runs.flags import NAMES

    async def read(chosen: "Flags") -> None:
        for name, meaning in NAMES.items():
            typer.echo(f"{name}={await chosen.get(name)}  # {meaning}")

    _with_flags(_settings(), read)


@flags_app.command("set")
def flags_set(name: str, value: str) -> None:
    """Set the switch NAME to VALUE (on or off) for all replicas; they follow within a second."""
    from ..runs.flags import NAMES

    if name not in NAMES or value not in ("on", "off"):
        fail(f"There is no {name}={value}. Switches: {', '.join(NAMES)}; values: on, off.", 2)

    async def write(chosen: "Flags") -> None:
        await chosen.set(name, value)

    current = _settings()
    with trail(current.audit_file, required=current.audit_required) as audit:
        _with_flags(current, write)
        audit.record("flag.set", actor=operator(), outcome="ok", flag=name, value=value)
    typer.echo(f"{name}={value}")


def _settings() -> Settings:
    """What a switch needs: nothing else that is wrong may keep anybody from stopping the service."""
    needed = ["STATE_URL", "GUARD__", "AUDIT_", "ENVIRONMENT"]
    if "STATE_URL" not in os.environ:  # it is in the secret source, which has to answer then
        needed.append("SECRETS__")
    try:
        return loading.partly(*needed, secrets=True)
    except loading.SettingsError as error:
        refuse(error)


def _with_flags(current: Settings, work: "Callable[[Flags], Awaitable[None]]") -> None:
    from ..guard import Guards
    from ..runs.flags import Flags
    from ..state import open_state

    url = current.state_url.get_secret_value()
    if url.startswith("memory:"):
        fail("Switches are in the state store. STATE_URL is memory://, which only one process sees; give redis://….", 2)

    async def outage() -> str:
        async with aclosing(open_state(url, Guards(current.guard))) as state:
            await work(Flags(state))
            return state.reason or state.refused

    logs.setup("ERROR", tuple, sys.stderr)
    if reason := asyncio.run(outage()):
        fail(f"The state store cannot be used. Nothing was changed. Reason: {reason}", 1)
