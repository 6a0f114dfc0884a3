"""`audit`: checks that the audit trail is complete and unchanged."""

from pathlib import Path
from typing import Annotated

import typer

from ..telemetry.audit import verify

audit_app = typer.Typer(help="The audit trail.", no_args_is_help=True)


@audit_app.command("verify")
def audit_verify(file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)]) -> None:
    """Check that the audit records in FILE (an AUDIT_FILE, or the service's output) are complete and unchanged."""
    with file.open(encoding="utf-8") as lines:
        problems = verify(lines)
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo("The audit trail is complete and unchanged.")
