"""Shared by all commands: loading the settings, failing with a message, telemetry, the operator's name."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NoReturn

import typer

from .. import NAME, __version__
from ..config import loading
from ..config.secrets import Secrets
from ..config.settings import Settings
from ..telemetry import running


def fail(message: str, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)


def refuse(error: loading.SettingsError) -> NoReturn:
    fail("The configuration is invalid:\n" + "\n".join(f"  - {problem}" for problem in error.problems), 2)


def settings(*checks: Callable[[Settings], list[str]]) -> Settings:
    """The settings; if they are invalid, the program prints all problems and exits."""
    try:
        return loading.load(*checks)
    except loading.SettingsError as error:
        refuse(error)


def telemetry_of(secrets: Secrets) -> AbstractContextManager[object]:
    current = secrets.settings
    return running(NAME, __version__, current.environment, current.log_level, secrets.values)


def operator() -> str:
    return os.environ.get("USER", "unknown")
