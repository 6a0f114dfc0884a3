"""Shared by all commands: settings, failing with a message, telemetry, the operator's name, the audit trail."""

import io
import os
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import NoReturn, TextIO

import typer

from .. import NAME, __version__
from ..config import loading
from ..config.secrets import Secrets
from ..config.settings import Settings
from ..telemetry import running
from ..telemetry.audit import Audit

_TRAIL_SECONDS = 2.0


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


def beside(path: str | None, required: bool) -> TextIO:
    """Where a command's audit records go besides AUDIT_FILE: without one to stderr, which a collector reads. A record
    that is not required stays out of a terminal, where people read.
    """
    return io.StringIO() if path or (sys.stderr.isatty() and not required) else sys.stderr


@contextmanager
def trail(path: str | None, *, required: bool = False) -> Generator[Audit]:
    """The audit trail of a command; tells if it lacks the command's record, and fails then if it is `required`."""
    try:
        audit = Audit(path, beside(path, required), required=required)
    except OSError as error:
        fail(f"The audit trail cannot be opened, so nothing was done: {error}", 1)
    with closing(audit):
        yield audit
        if not audit.flush(_TRAIL_SECONDS):
            typer.echo(f"It is done, but the audit trail has no record of it: {audit.trouble}", err=True)
            if required:
                raise typer.Exit(1)
