# /// script
# requires-python = ">=3.11"
# dependencies = ["boto3>=1.44,<2", "typer>=0.20"]
# ///
"""Gives a new revision the traffic in steps, and takes it back by itself when an alarm or a smoke call is against it.

Needs uv alone: `uv run scripts/deploy.py --help`. Exit codes: 0 done; 1 it failed, the old revision has the traffic;
2 what was asked for makes no sense.
"""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from console import Address, Bucket, Smoke, SmokeCall, console, say
from rollout import Plan, check, deploy
from targets import Unusable


def main(
    address: Address,
    artifact: Annotated[str, typer.Argument(help="dist/….zip, s3://BUCKET/KEY, or an image in ECR")],
    steps: Annotated[str, typer.Option(help="percent of the traffic, step by step; 100 comes last")] = "10",
    seconds: Annotated[float, typer.Option(min=0, help="how long each step is watched")] = 300,
    smoke: Smoke = SmokeCall.RUN,
    bucket: Bucket = "",
    ignore_alarm: Annotated[list[str] | None, typer.Option(help="an alarm that rings for another reason")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and change nothing")] = False,
) -> None:
    """Deploys ARTIFACT to ADDRESS (lambda:FUNCTION)."""
    # A pipeline that is cancelled sends this one: it is to shift back as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with console("deploy", address, smoke=smoke, bucket=bucket) as (target, trail):
        plan = Plan(percents(steps), seconds, frozenset(ignore_alarm or ()))
        if dry_run:
            old = check(target, plan)
            say(f"{old} has the traffic. A new revision of {artifact} would be published and called once; then")
            for percent in plan.steps:
                say(f"  {percent:g} % of the traffic for {seconds:g} s, unless one of the alarms goes off:")
            say(f"  {', '.join(sorted(target.alarms().keys() - plan.ignored))}")
            return
        new = deploy(target, artifact, plan, trail, say)
        trail.record("deploy", "ok", revision=new)


def percents(steps: str) -> tuple[float, ...]:
    try:
        found = tuple(float(step) for step in steps.split(",") if float(step) != 100)
    except ValueError:
        found = (0.0,)
    if any(not 0 < step < 100 for step in found) or list(found) != sorted(set(found)):
        raise Unusable(f"--steps {steps}: give rising percentages such as 10,50")
    return (*found, 100.0)


if __name__ == "__main__":
    typer.run(main)
