"""Where a service runs. A target knows revisions and shares of traffic; rollout.py and going_back.py move them.

Another target is a module beside this one that has what `Target` says, and a line in `registry.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol


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
    schema: int = 0  # of the stores; code cannot read stores that a revision with a higher number has migrated
    note: str = ""  # who published it, and why


@dataclass(frozen=True)
class Move:
    """One change of traffic, for the deployment record."""

    action: str  # canary, deploy, taken back, rollback
    before: str
    revision: str
    actor: str = ""
    reason: str = ""
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass(frozen=True)
class Traffic:
    """Which revisions have the traffic. Two are equal if the callers meet the same."""

    main: str
    canary: str = ""
    percent: float = 0.0  # of the canary; `main` has the rest
    history: tuple[str, ...] = field(default=(), compare=False)  # revisions that had all of it, the newest first
    moves: tuple[Move, ...] = field(default=(), compare=False)  # the newest first, as far as the target keeps them
    token: Any = field(default=None, compare=False)  # the state that this was read from
    differs: str = ""  # what the callers meet, in words, if it is not what the record says: a change was cut off

    def __str__(self) -> str:
        if not self.canary:
            return f"{self.main} has all the traffic"
        return f"{self.main} has {100 - self.percent:g} %, {self.canary} has {self.percent:g} %"

    def of(self, revision: str) -> float:
        """The share of a revision, in percent."""
        return self.percent if revision == self.canary else 100 - self.percent if revision == self.main else 0.0

    def given(self, revision: str, percent: float, move: Move) -> Traffic:
        """The traffic after this revision has got a share of it. All of it makes history: going back forgets what came
        after, and a canary that was taken back is never in it."""
        moves = (move, *self.moves)
        if percent < 100:
            return replace(self, canary=revision, percent=percent, moves=moves)
        if revision in self.history:
            history = self.history[self.history.index(revision) :]
        else:
            history = (revision, *self.history) if move.action == "deploy" else (revision,)
        return Traffic(revision, history=history, moves=moves, token=self.token)


class Target(Protocol):
    """Where a service runs in revisions, one of which has the traffic, or two during a shift."""

    shares: bool
    """Whether it can split the traffic; else a revision has all of it or none."""

    def actor(self) -> str:
        """Who this is, for the audit trail."""

    def place(self) -> str:
        """Which of several it is (a cluster, an account, a machine), for people and the record; empty if unknown."""

    def revisions(self) -> list[Revision]:
        """All of them, the oldest first."""

    def traffic(self) -> Traffic:
        """As it is at this moment."""

    def check(self, artifact: str) -> None:
        """Whether there is such an artifact, and what deploys it. Changes nothing.

        Raises:
            Unusable: it is not there.
        """

    def publish(self, artifact: str, schema: int, note: str) -> str:
        """Makes a revision without traffic, ready to be called; gives its name."""

    def shift(self, before: Traffic, after: Traffic) -> Traffic:
        """Changes the traffic, and keeps its history and moves; gives it with its new token.

        Raises:
            Conflict: it is not `before` any more.
        """

    def discard(self, revision: str) -> None:
        """Ends what `publish` started: the revision has no traffic, and is not wanted."""

    def smoke(self, revision: str) -> str:
        """Calls a revision once, whatever its share; gives what was wrong, or an empty string."""

    def gates(self, revision: str) -> dict[str, bool]:
        """What watches a revision by name (alarms, its share of the error budget), and which of them are against it."""
