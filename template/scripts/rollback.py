# /// script
# requires-python = ">=3.11"
# dependencies = ["boto3>=1.44,<2", "typer>=0.20"]
# ///
"""Gives an earlier revision all the traffic at once; also ends a shift that was left half-way.

Needs uv alone: `uv run scripts/rollback.py --help`. Exit codes: 0 done; 1 it failed; 2 what was asked makes no sense.
"""

from __future__ import annotations

from typing import Annotated

import typer

from console import Address, Smoke, SmokeCall, console, say
from rollout import rollback, shares


def main(
    address: Address,
    to: Annotated[str | None, typer.Option(help="the revision; default: the one before")] = None,
    smoke: Smoke = SmokeCall.RUN,
    no_smoke: Annotated[bool, typer.Option("--no-smoke", help="without calling it first")] = False,
    listed: Annotated[bool, typer.Option("--list", help="show the revisions and change nothing")] = False,
) -> None:
    """Rolls ADDRESS (lambda:FUNCTION) back."""
    with console("rollback", address, smoke=smoke) as (target, trail):
        if listed:
            traffic = target.traffic()
            for revision in target.revisions():
                share = f"{traffic[revision.name]:g} %" if revision.name in traffic else ""
                print(f"{revision.name:>6}  {share:>6}  {revision.published}  {revision.digest}")
            say(shares(traffic))
            return
        rollback(target, to, not no_smoke, trail, say)


if __name__ == "__main__":
    typer.run(main)
