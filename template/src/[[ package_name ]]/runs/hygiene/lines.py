"""The lines of a text that comes in pieces."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from .blocks import TABLE
from .containers import within
from .reading import More

_END = re.compile(r"\r\n?|\n")


class Piece(NamedTuple):
    """A line, or the part of it that is new."""

    text: str
    end: str  # what ends the line, nothing while it goes on
    after: int


class Lines:
    def __init__(self) -> None:
        self._raw = ""
        self._next = 0

    def add(self, text: str) -> None:
        self._raw, self._next = self._raw[self._next :] + text, 0

    def pieces(self, final: bool) -> Iterator[Piece]:
        """What is new; a piece comes again unless it is `taken`."""
        while True:
            end = _END.search(self._raw, self._next)
            if end and end[0] == "\r" and end.end() == len(self._raw) and not final:
                end = None  # the first of two characters, perhaps
            stop = end.start() if end else len(self._raw) - (self._raw.endswith("\r") and not final)
            yield Piece(self._raw[self._next : stop], end[0] if end else "", end.end() if end else stop)
            if not end:
                return

    def take(self, piece: Piece) -> None:
        self._next = piece.after

    def following(self, containers: list[int], final: bool) -> Iterator[str]:
        """The lines after the next one, as far as they are in these containers and not blank.

        Raises:
            More: a line is still to come.
        """
        end = _END.search(self._raw, self._next)
        while True:
            start = end.end() if end else len(self._raw)
            end = _END.search(self._raw, start)
            if not final and not (end and end.end() < len(self._raw)):
                raise More
            line = self._raw[start : end.start() if end else len(self._raw)]
            where = within(line, containers, hollow=False, ended=True)
            outside = where.depth < len(containers)
            # Some programs look for a table before they look for containers.
            if not line[where.at :].strip(" \t") or (outside and not TABLE.fullmatch(line.strip(" \t"))):
                return
            yield line[where.at :]
            if outside:
                return
