"""`keys`: API keys of clients."""

import json
from typing import Annotated

import typer
from pydantic import ValidationError

from ..api.auth import fingerprint, new_key
from ..config import loading
from ..config.clients import ClientKey
from .terminal import fail, operator, refuse, trail

keys_app = typer.Typer(help="API keys of clients.", no_args_is_help=True)


@keys_app.command("new")
def keys_new(
    name: str,
    tenant: Annotated[str | None, typer.Option(help="the tenant of the key; NAME by default")] = None,
    expires: Annotated[str | None, typer.Option(help="last day on which the key is valid, YYYY-MM-DD")] = None,
    operates: Annotated[bool, typer.Option("--operator", help="reads metrics and details, makes no runs")] = False,
) -> None:
    """Make an API key for the client NAME. It is shown once; its hash goes into AUTH__KEYS."""
    key, role = new_key(), "operator" if operates else "client"
    try:
        entry = ClientKey.model_validate(
            {"hash": fingerprint(key), "tenant": tenant or name, "role": role, "expires": expires}
        )
    except ValidationError as error:
        wrong = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
        fail(f"{wrong}. A tenant has up to 64 letters, digits, dots, dashes, underscores; a date is YYYY-MM-DD.", 2)
    try:
        current = loading.partly("AUDIT_", "ENVIRONMENT")  # a service that lacks a key is not valid yet
    except loading.SettingsError as error:
        refuse(error)
    with trail(current.audit_file, required=current.audit_required) as audit:
        audit.record("key.new", actor=operator(), outcome="ok", key=name)
    typer.echo(f"key (not shown again): {key}")
    typer.echo(f"add to AUTH__KEYS:     {json.dumps({name: entry.model_dump(exclude_defaults=True)})}")
