"""The command line. Exit codes: 0 good, 1 it failed, 2 bad usage or configuration."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, aclosing
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError

from . import DESCRIPTION, NAME, __version__, config
from .errors import ServiceError
from .flags import NAMES, Flags
from .guard import Guards
from .readiness import report
from .secrets import Secrets
from .settings import ClientKey, Settings
from .smoke import probe
from .state import open_state
from .telemetry import logs, running
from .telemetry.audit import Audit, verify

app = typer.Typer(help=DESCRIPTION, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
config_app = typer.Typer(help="Settings: see them, check them, or print an example file.", no_args_is_help=True)
keys_app = typer.Typer(help="API keys of clients.", no_args_is_help=True)
flags_app = typer.Typer(help="Switches that all replicas follow.", no_args_is_help=True)
audit_app = typer.Typer(help="The audit trail.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(keys_app, name="keys")
app.add_typer(flags_app, name="flags")
app.add_typer(audit_app, name="audit")


def fail(message: str, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)


def settings() -> Settings:
    """The settings, or the end of the program with all that is wrong with them."""
    try:
        return config.load()
    except config.SettingsError as error:
        fail("The configuration cannot be used:\n" + "\n".join(f"  - {problem}" for problem in error.problems), 2)


def telemetry_of(secrets: Secrets) -> AbstractContextManager[None]:
    current = secrets.settings
    return running(NAME, __version__, current.environment, current.log_level, secrets.values)


@app.command()
def serve() -> None:
    """Serves HTTP until stopped."""
    secrets = Secrets(settings())
    from .gateway.server import serve as run_server  # what only this command needs takes a second to import

    with telemetry_of(secrets):
        run_server(secrets)


@app.command()
def ask(text: str) -> None:
    """Answers TEXT on the terminal, by the same path as a request."""
    from .service import open_service
    from .task import Task

    async def answer() -> str:
        async with open_service(Secrets(settings()), audit_stream=sys.stderr) as service:
            return (await service.runner.run(Task(text, tenant="local", actor="cli"))).output

    logs.setup("ERROR", tuple, sys.stderr)
    try:
        typer.echo(asyncio.run(answer()))
    except ServiceError as error:
        fail(f"{error.title}: {error.detail}", 1)


@config_app.command("show")
def config_show() -> None:
    """Every setting in force, secrets masked."""
    for name, value in config.shown(settings()):
        typer.echo(f"{name}={value}")


@config_app.command("check")
def config_check() -> None:
    """Whether the service would start: says all that is wrong."""
    typer.echo(f"The configuration is good for {settings().environment}.")


@config_app.command("env")
def config_env() -> None:
    """All settings, what they mean and their defaults: the text of .env.example."""
    typer.echo(config.example(), nl=False)


@config_app.command("docs")
def config_docs() -> None:
    """All settings as a Markdown table: the text of docs/configuration.md."""
    typer.echo(config.reference(), nl=False)


@keys_app.command("new")
def keys_new(
    name: str,
    tenant: Annotated[str | None, typer.Option(help="whose budget and limits it uses; NAME when not given")] = None,
    expires: Annotated[str | None, typer.Option(help="last day it is valid, YYYY-MM-DD")] = None,
) -> None:
    """Makes a key for the client NAME: shown once, to be handed over; its hash goes into AUTH__KEYS."""
    from .gateway.auth import fingerprint, new_key

    key = new_key()
    try:
        entry = ClientKey(hash=fingerprint(key), tenant=tenant or name, expires=expires)
    except ValidationError as error:
        wrong = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
        fail(f"{wrong}. A tenant has up to 64 letters, digits, dots, dashes; a date is written YYYY-MM-DD.", 2)
    Audit(os.environ.get("AUDIT_FILE"), sys.stderr).record("key.new", actor=_operator(), outcome="ok", key=name)
    typer.echo(f"key (not shown again): {key}")
    typer.echo(f"add to AUTH__KEYS:     {json.dumps({name: entry.model_dump(exclude_none=True)})}")


@flags_app.command("list")
def flags_list() -> None:
    """The switches and how they are set."""

    async def read(chosen: Flags) -> None:
        for name, meaning in NAMES.items():
            typer.echo(f"{name}={await chosen.get(name)}  # {meaning}")

    _with_flags(read)


@flags_app.command("set")
def flags_set(name: str, value: str) -> None:
    """Sets the switch NAME to VALUE (on or off) for all replicas; they follow within a second."""
    if name not in NAMES or value not in ("on", "off"):
        fail(f"There is no {name}={value}. Switches: {', '.join(NAMES)}; values: on, off.", 2)

    async def write(chosen: Flags) -> None:
        await chosen.set(name, value)

    _with_flags(write)
    Audit(os.environ.get("AUDIT_FILE"), sys.stderr).record(
        "flag.set", actor=_operator(), outcome="ok", flag=name, value=value
    )
    typer.echo(f"{name}={value}")


def _with_flags(work: Callable[..., Awaitable[None]]) -> None:
    current = settings()
    url = current.state_url.get_secret_value()
    if url.startswith("memory:"):
        fail("Switches live in the state store, and STATE_URL is memory://, which no other process sees.", 2)

    async def connected() -> bool:
        async with aclosing(open_state(url, Guards(current.guard))) as state:
            await work(Flags(state))
            return state.shared

    logs.setup("ERROR", tuple, sys.stderr)
    if not asyncio.run(connected()):
        fail("The state store cannot be reached; nothing was changed.", 1)


@audit_app.command("verify")
def audit_verify(file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)]) -> None:
    """Whether the audit records in FILE (an AUDIT_FILE, or the service's output) are whole and in order."""
    with file.open(encoding="utf-8") as lines:
        problems = verify(lines)
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo("The audit trail is whole.")


@app.command()
def smoke(url: str, key: Annotated[str, typer.Option(envvar="SMOKE_KEY", help="an API key")] = "") -> None:
    """Whether the service at URL is up, ready and answers a question."""
    for path, outcome in probe(url.rstrip("/"), key):
        typer.echo(f"{path}: {outcome or 'ok'}", err=bool(outcome))
        if outcome:
            raise typer.Exit(1)


@app.command()
def readiness() -> None:
    """Every promise of the service, the tests that prove it, and how they ended last."""
    table, whole = report(Path.cwd())
    typer.echo(table)
    if not whole:
        raise typer.Exit(1)


def _operator() -> str:
    return os.environ.get("USER", "unknown")


def main() -> None:
    """The console script."""
    app()
