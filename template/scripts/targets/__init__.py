"""Where a service runs. A target knows revisions and shares of traffic; rollout.py knows in which order to move them.

Another target is a module beside this one that has what `Target` says, and a line in `target`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class TargetError(Exception):
    """It could not be done: the place is away, or it refused. The message says what happened and what to do."""


class Conflict(TargetError):
    """Somebody else has changed the target meanwhile; what they did stands."""


class Unusable(TargetError):
    """What was asked for makes no sense there: no such function, revision or artifact."""


@dataclass(frozen=True)
class Revision:
    """One published state of code and settings, which never changes again."""

    name: str
    published: str
    digest: str


class Target(Protocol):
    """Where a service runs in revisions, one of which has the traffic, or two during a shift."""

    def actor(self) -> str:
        """Who this is, for the audit trail."""

    def revisions(self) -> list[Revision]:
        """All of them, the oldest first."""

    def traffic(self) -> dict[str, float]:
        """The share of each revision that has any, in percent. The first one is served to the rest of the callers.

        What is read here is what `shift` changes: when somebody else has changed it in between, that is a Conflict.
        """

    def previous(self) -> str:
        """The revision that had the traffic before the one that has it now."""

    def publish(self, artifact: str) -> str:
        """Makes a revision without traffic, ready to be called; gives its name."""

    def shift(self, old: str, new: str, percent: float) -> None:
        """Gives `new` this share and `old` the rest."""

    def smoke(self, revision: str) -> str:
        """Calls a revision once, whatever its share; gives what was wrong, or an empty string."""

    def alarms(self) -> dict[str, bool]:
        """The alarms that watch it, and which of them are ringing."""


def target(address: str, **options: str) -> Target:
    """The target of an address: `lambda:FUNCTION`.

    Raises:
        Unusable: no such kind of target.
    """
    kind, _, name = address.partition(":")
    if kind == "lambda" and name:
        from .aws_lambda import AwsLambda

        return AwsLambda(name, **options)
    raise Unusable(f"{address!r} is no target; give lambda:FUNCTION")
