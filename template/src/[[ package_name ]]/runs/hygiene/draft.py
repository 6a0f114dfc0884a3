"""A text while it is read: what it says, how far it was read, and what is written in its place."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable

from .links import LABEL_LENGTH

Write = Callable[[str, int], None]  # what is decided, and of how many characters it was made
_KEPT = LABEL_LENGTH + 1  # characters before the place that is read: a label may be among them
_CUT = 8 * _KEPT


class Draft:
    """Places are counted from the beginning of `text`, which moves on; `base` is how far it has."""

    def __init__(self, write: Write) -> None:
        self.text = ""
        self.base = 0
        self.at = 0  # read until here
        self._write = write
        self._done = 0  # written until here
        self._new: list[str] = []
        self._length = 0
        self._stand_ins: deque[tuple[int, str, int]] = deque()
        self._edits: list[tuple[int, int, str]] = []
        self._found: dict[str, tuple[int, int]] = {}

    def add(self, text: str) -> None:
        self._new.append(text)
        self._length += len(text)

    def stand_in(self, character: str, written: str, length: int) -> None:
        """Is read as `character` and written as `written`, which `length` characters became."""
        self._stand_ins.append((self._length, written, length))
        self.add(character)

    def join(self) -> None:
        """Makes all that was added part of `text`."""
        self.text = "".join((self.text, *self._new))
        self._new.clear()

    def find(self, what: str, at: int) -> int:
        """The first place of `what` from here on, -1 if there is none; a text is searched once, from left to right."""
        place, until = self._found.get(what, (-1, 0))
        if place < at + self.base:
            from_here = at if place >= 0 else max(at, until - self.base - len(what))
            found = self.text.find(what, from_here)
            place = found + self.base if found >= 0 else -1
            self._found[what] = place, self.base + len(self.text)
        return place - self.base if place >= 0 else -1

    @property
    def idle(self) -> bool:
        """Whether all is written."""
        return self._done == len(self.text) and not self._new

    @property
    def edited(self) -> bool:
        """Whether something is still to be written differently."""
        return bool(self._edits)

    def edit(self, at: int, length: int, written: str) -> None:
        """Writes `written` instead of so many characters."""
        edit = (at + self.base, length, written)
        place = bisect_left(self._edits, edit)
        if self._edits[place : place + 1] != [edit]:
            self._edits.insert(place, edit)

    def before(self, count: int) -> int:
        """What so many of the characters that come next were made of; 0 if something before them is not written yet."""
        if self._done < self.at or self._edits:
            return 0
        until = self.at + self.base + count
        return count + sum(length - 1 for place, _, length in self._stand_ins if place < until)

    def flush(self, end: int) -> None:
        """Writes what is before this place."""
        if end <= self._done:
            return
        first, last = self._done + self.base, end + self.base
        length = last - first
        changes = []
        while self._stand_ins and self._stand_ins[0][0] < last:
            place, written, taken = self._stand_ins.popleft()
            changes.append((place, 1, written))
            length += taken - 1
        count = 0
        while count < len(self._edits) and self._edits[count][0] < last:
            count += 1
        changes += self._edits[:count]
        del self._edits[:count]
        parts: list[str] = []
        for place, taken, written in sorted(changes):
            parts += (self.text[first - self.base : place - self.base], written)
            first = place + taken
        parts.append(self.text[first - self.base : end])
        self._done = end
        self._write("".join(parts), length)
        if self._done > _CUT:
            self._forget(self._done - _KEPT)

    def _forget(self, count: int) -> None:
        self.text = self.text[count:]
        self.base += count
        self.at -= count
        self._done -= count
