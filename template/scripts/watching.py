"""What speaks for a revision and against it: its smoke call, and the gates that watch it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from change import Change, Stopped
from targets import TargetError


@dataclass(frozen=True)
class Watch:
    """How long a step is watched, by which gates."""

    seconds: float
    expected: frozenset[str]
    ignored: frozenset[str]  # they ring for another reason

    def against(self, gates: dict[str, bool]) -> str:
        """The names of those that ring."""
        return ", ".join(sorted(name for name, rings in gates.items() if rings and name not in self.ignored))


def smoke(change: Change, revision: str) -> None:
    with change.interrupts.allowed():
        if wrong := change.target.smoke(revision):
            raise Stopped(f"the smoke call of {revision} failed: {wrong}")


def advice(change: Change, revision: str) -> None:
    """A smoke call that fails says something, and holds up nothing: a saturated service has to be rolled back."""
    try:
        with change.interrupts.allowed():
            wrong = change.target.smoke(revision)
    except TargetError as error:
        wrong = str(error)
    if wrong:
        change.say(f"warning: the smoke call of {revision} failed: {wrong}")


def watch(change: Change, revision: str, how: Watch) -> None:
    """Looks at the gates until the time is over, then makes the smoke call again.

    Raises:
        Stopped: one of them is against the revision, or has vanished.
    """
    end = time.monotonic() + how.seconds
    with change.interrupts.allowed():
        while True:
            gates = change.target.gates(revision)
            if gone := how.expected - gates.keys():
                raise Stopped(f"{', '.join(sorted(gone))} is gone: nothing would stop a bad revision")
            if ringing := how.against(gates):
                raise Stopped(f"{ringing} went off")
            left = end - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(left, 10, how.seconds / 10))
    smoke(change, revision)
