"""`config`: the settings in force, whether they can be used, and the pages that list them."""

import typer

from ..config import loading
from .terminal import settings

config_app = typer.Typer(help="Settings: see them, check them, or print an example file.", no_args_is_help=True)


@config_app.command("show")
def config_show() -> None:
    """Every setting in force, secrets masked."""
    for name, value in loading.shown(settings()):
        typer.echo(f"{name}={value}")


@config_app.command("check")
def config_check() -> None:
    """Whether the service would start: says all that is wrong."""
    from ..models.providers import unusable

    typer.echo(f"The configuration is good for {settings(unusable).environment}.")


@config_app.command("env")
def config_env() -> None:
    """All settings, what they mean and their defaults: the text of .env.example."""
    typer.echo(loading.example(), nl=False)


@config_app.command("docs")
def config_docs() -> None:
    """All settings as a Markdown table: the text of docs/configuration.md."""
    typer.echo(loading.reference(), nl=False)
