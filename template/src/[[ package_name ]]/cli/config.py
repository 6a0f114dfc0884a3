"""`config`: shows and checks the current settings, and prints the pages that list them."""

import typer

from ..config import loading
from ..config.settings import Settings
from .terminal import settings

config_app = typer.Typer(help="Settings: see them, check them, or print an example file.", no_args_is_help=True)


@config_app.command("show")
def config_show() -> None:
    """Show every current setting, secrets masked."""
    for name, value in loading.shown(settings()):
        typer.echo(f"{name}={value}")


@config_app.command("check")
def config_check() -> None:
    """Check whether the service would start; list all problems."""
    typer.echo(f"The configuration is valid for {settings(_unusable).environment}.")


@config_app.command("env")
def config_env() -> None:
    """Print all settings with meaning and default, as .env.example."""
    typer.echo(loading.example(), nl=False)


@config_app.command("docs")
def config_docs() -> None:
    """Print all settings as a Markdown table, as docs/configuration.md."""
    typer.echo(loading.reference(), nl=False)


def _unusable(current: Settings) -> list[str]:
    if {current.model.primary, current.model.fallback, current.model.small} <= {"offline", None}:
        return []  # what the next line imports takes a second
    from ..models.providers import unusable

    return unusable(current)
