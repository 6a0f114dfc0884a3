"""Ctrl-C, a lost terminal (SIGHUP) and a cancelled pipeline (SIGTERM): each ends a deploy where that is safe."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """A signal asked for the end."""


class Interrupts:
    """Signals wait until a block that allows them; the first one is raised there, and later ones are only told of.

    So nothing interrupts a change of traffic, nor its way back: not a second Ctrl-C either. An ignored SIGINT, which
    shells give to what they start in the background, is replaced; an ignored SIGHUP is `nohup`, which is meant.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._number, self._raised, self._allowed = say, 0, False, False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._take)

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """A block in which waiting, or a call that moves no traffic, is given up."""
        self._allowed = True
        try:
            self._raise()
            yield
        finally:
            self._allowed = False

    def _take(self, number: int, _: FrameType | None) -> None:
        if self._number:
            self._say(f"{signal.Signals(number).name}: the end is under way; killed now, the traffic stays as it is")
            return
        self._number = number
        if self._allowed:
            self._raise()

    def _raise(self) -> None:
        if self._number and not self._raised:
            self._raised = True
            raise Interrupted(signal.Signals(self._number).name)
