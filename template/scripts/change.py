"""One change of a target's traffic, by one person or pipeline, and how it can end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from interrupts import Interrupts
from targets import Target
from trail import Trail

Say = Callable[[str], None]


class Stopped(Exception):
    """The new revision is not good enough; the old one has all traffic again."""


class Stranded(Exception):
    """The traffic is not where it was, and could not be taken back."""


@dataclass(frozen=True)
class Change:
    """What is changed, who is told, what keeps a record, and when a signal may end it."""

    target: Target
    named: str  # the target on a command line, with its options
    trail: Trail
    say: Say
    interrupts: Interrupts

    def done(self, action: str, **facts: str | float) -> None:
        """Keeps a record of what is done; a full disk is no reason to say that it failed."""
        try:
            self.trail.record(action, "ok", **facts)
        except OSError as error:
            self.say(f"warning: the {action} is done, and its audit record is not in the file: {error}")
