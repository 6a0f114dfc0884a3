"""`audit`: checks that the audit trail is complete and unchanged."""

from pathlib import Path
from typing import Annotated

import typer

from ..telemetry.chain import verify

audit_app = typer.Typer(help="The audit trail.", no_args_is_help=True)


@audit_app.command("verify")
def audit_verify(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    expect: Annotated[str, typer.Option(help="hash of a record that must be in FILE; finds a removed tail")] = "",
    follows: Annotated[str, typer.Option("--from", help="last hash of the file before a rotation")] = "",
) -> None:
    """Check that the audit records in FILE (an AUDIT_FILE, or the service's output) are complete and unchanged."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        verdict = verify(lines, follows=follows, expect=expect)
    for chain in verdict.chains:
        typer.echo(f"chain {chain.name}: records {chain.first} to {chain.last}, last hash {chain.last_hash}")
    for problem in verdict.problems:
        typer.echo(problem, err=True)
    if verdict.problems:
        raise typer.Exit(1)
    typer.echo(f"The audit trail is complete and unchanged{'' if expect else ', up to its last record'}.")
