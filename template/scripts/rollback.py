# /// script
# requires-python = ">=3.11"
# dependencies = ["typer>=0.20"]
# ///
"""Gives an earlier revision all the traffic at once; also ends a shift that was left half-way.

Needs uv alone: `uv run scripts/rollback.py --help`. Exit codes: 0 done; 1 it failed; 2 what was asked makes no sense.
"""

from __future__ import annotations

from typing import Annotated

import typer

from console import Address, Reason, asked_for, change, run, say
from going_back import rollback


def main(
    address: Address,
    to: Annotated[str | None, typer.Option(help="the revision; default: the one before")] = None,
    come_from: Annotated[str, typer.Option("--from", help="only if this revision has the traffic")] = "",
    reason: Reason = "",
    no_smoke: Annotated[bool, typer.Option("--no-smoke", help="without calling it first")] = False,
    despite_schema: Annotated[bool, typer.Option("--despite-schema", help="although the stores are newer")] = False,
    listed: Annotated[bool, typer.Option("--list", help="show the revisions and the record, change nothing")] = False,
) -> None:
    """Rolls ADDRESS back."""
    with change("rollback", address) as made:
        if listed:
            traffic = made.target.traffic()
            for revision in made.target.revisions():
                share = f"{traffic.of(revision.name):g} %" if traffic.of(revision.name) else ""
                facts = f"{revision.published}  {revision.digest}  schema {revision.schema}"
                print(f"{revision.name:>6}  {share:>6}  {facts}  {revision.note}".rstrip())
            for move in reversed(traffic.moves):
                say(f"{move.at}  {move.action}  {move.before} -> {move.revision}  {move.actor}  {move.reason}".rstrip())
            say(str(traffic))
            if traffic.differs:
                say(f"warning: {traffic.differs}; a rollback brings the two together")
            return
        why = asked_for(reason, made.interrupts)
        rollback(made, to, come_from, why, smoke=not no_smoke, despite_schema=despite_schema)


if __name__ == "__main__":
    run(main)
