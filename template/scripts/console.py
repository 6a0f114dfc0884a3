"""What deploy.py and rollback.py share on the command line: arguments, exit codes, sentences instead of tracebacks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated

import typer

from rollout import Stopped
from targets import Conflict, Target, TargetError, Unusable, target
from trail import Trail


class SmokeCall(StrEnum):
    """What a new revision is asked before it gets traffic."""

    RUN = "run"
    MESSAGE = "message"


Address = Annotated[str, typer.Argument(help="what to deploy to: lambda:FUNCTION")]
Smoke = Annotated[SmokeCall, typer.Option(help="the smoke call: a run, or a message where it works off a queue")]
Bucket = Annotated[str, typer.Option(help="S3 bucket that a zip of more than 50 MB goes through")]


def say(sentence: str) -> None:
    """Tells people; stdout is the audit trail's."""
    print(sentence, file=sys.stderr, flush=True)


@contextmanager
def console(action: str, address: str, **options: str) -> Iterator[tuple[Target, Trail]]:
    """The target and the trail of a command, whose errors become sentences, audit records and exit codes."""
    trail = None
    try:
        found = target(address, **options)
        trail = Trail(found.actor(), address, os.environ.get("AUDIT_FILE"))
        yield found, trail
    except (TargetError, Stopped, OSError, KeyboardInterrupt) as error:
        reason = str(error) or "interrupted"
        say(f"{action}: {reason}")
        if trail:
            trail.record(action, _outcome(error), reason=reason)
        raise typer.Exit(2 if isinstance(error, Unusable) else 1) from error


def _outcome(error: BaseException) -> str:
    match error:
        case Conflict():
            return "conflict"
        case Unusable():
            return "refused"
        case Stopped():
            return "stopped"
        case _:
            return "failed"
