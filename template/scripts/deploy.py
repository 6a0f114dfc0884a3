# /// script
# requires-python = ">=3.11"
# dependencies = ["typer>=0.20"]
# ///
"""Gives a new revision the traffic in steps, and takes it back by itself when a gate or a smoke call is against it.

Needs uv alone: `uv run scripts/deploy.py --help`. Exit codes: 0 done; 1 it failed, the old revision has the traffic;
2 what was asked for makes no sense; 3 it failed, and the traffic is not back.
"""

from __future__ import annotations

from typing import Annotated

import typer

from console import Address, Reason, asked_for, change, run, say
from rollout import Plan, check
from rollout import deploy as roll_out
from targets import Unusable


def main(
    address: Address,
    artifact: Annotated[str, typer.Argument(help="what is deployed: an image by digest, a zip")],
    steps: Annotated[str, typer.Option(help="percent of the traffic, step by step; 100 comes last")] = "10",
    seconds: Annotated[float, typer.Option(min=0, help="how long each step is watched")] = 300,
    reason: Reason = "",
    schema: Annotated[
        int | None, typer.Option(help="number of the stores' schema, if older code cannot read it; default: as before")
    ] = None,
    ignore_alarm: Annotated[list[str] | None, typer.Option(help="a gate that rings for another reason")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and change nothing")] = False,
) -> None:
    """Deploys ARTIFACT to ADDRESS."""
    with change("deploy", address) as made:
        shares = percents(steps) if made.target.shares else (100.0,)
        if dry_run:
            traffic, watch = check(made, artifact, Plan(shares, seconds, frozenset(ignore_alarm or ())))
            say(f"{traffic}. A new revision of {artifact} would be published and called once; then")
            for percent in shares:
                say(f"  {percent:g} % of the traffic for {seconds:g} s, unless one of these is against it:")
            say(f"  {', '.join(sorted(watch.expected))}")
            return
        plan = Plan(shares, seconds, frozenset(ignore_alarm or ()), asked_for(reason, made.interrupts), schema)
        new = roll_out(made, artifact, plan)
        made.done("deploy", revision=new, reason=plan.reason)


def percents(steps: str) -> tuple[float, ...]:
    try:
        found = tuple(float(step) for step in steps.split(",") if float(step) != 100)
    except ValueError:
        found = (0.0,)
    if any(not 0 < step < 100 for step in found) or list(found) != sorted(set(found)):
        raise Unusable(f"--steps {steps}: give rising percentages such as 10,50")
    return (*found, 100.0)


if __name__ == "__main__":
    run(main)
