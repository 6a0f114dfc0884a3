"""Active markup in a text that comes in pieces: a piece leaves as soon as nothing in it can be active any more."""

from typing import Protocol

from .ahead import stop

# While more than this is undecided, the reader looks again only when a sixteenth is new: its time stays in proportion.
_PATIENT_FROM = 4096
_SHARE = 16


class Reader(Protocol):
    """What decides on a text."""

    @property
    def taken(self) -> int:
        """Of so many characters it has decided what is written."""

    @property
    def ahead(self) -> int | None:
        """So many more stay as they are, and no others so far; None if that is unknown."""

    def feed(self, text: str, *, final: bool = False) -> str:
        """What is decided now."""


class Markup:
    """Sends what its reader has decided, and ahead of that what stays the same whatever it decides."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._new: list[str] = []  # not given to the reader yet
        self._size = 0
        self._unsent: list[str] = []
        self._ahead = 0  # so much of what is undecided has been sent
        self._given = 0
        self._stopped = False

    def work(self, text: str) -> int:
        """How many characters would be read if this came next."""
        if not self._stopped and stop(text) < 0:
            return 0
        return self._given - self._reader.taken + self._size + len(text)

    def feed(self, text: str, *, final: bool = False) -> str:
        """What may leave; the reader reads nothing as long as there is nothing to find."""
        self._new.append(text)
        self._unsent.append(text)
        self._size += len(text)
        ready = "" if self._stopped else self._unchanged()
        undecided = self._given - self._reader.taken
        if self._stopped and (final or undecided < _PATIENT_FROM or self._size * _SHARE >= undecided):
            ready += self._decided(final) + self._unchanged()
        return ready

    def _decided(self, final: bool) -> str:
        taken = self._reader.taken
        ready = self._reader.feed("".join(self._new), final=final)
        self._given += self._size
        self._new, self._size = [], 0
        count = self._reader.taken - taken
        if count <= self._ahead:  # so nothing in it is different
            self._ahead -= count
            return ""
        ready, rest = ready[self._ahead :], "".join(self._unsent)
        self._unsent, self._ahead = [rest[count - self._ahead :]], 0
        return ready

    def _unchanged(self) -> str:
        """What comes before the next place where something may be written differently."""
        text = "".join(self._unsent)
        ahead = self._reader.ahead if self._stopped else None
        end = stop(text) if ahead is None else max(ahead - self._ahead, 0)
        self._stopped = end >= 0
        end = end if self._stopped else len(text)
        self._unsent = [text[end:]]
        self._ahead += end
        return text[:end]
