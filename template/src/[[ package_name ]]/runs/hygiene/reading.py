"""What the readers of a text that is still being made have in common."""

import re
import sys
from typing import NamedTuple


class More(Exception):
    """The answer depends on text that is still to come."""


class Doubt(Exception):
    """Programs differ about what follows."""


class Span(NamedTuple):
    start: int
    end: int


def peek(text: str, at: int, final: bool) -> str:
    """The character at this place; none behind the end of a final text.

    Raises:
        More: the character is still to come.
    """
    if at >= len(text) and not final:
        raise More
    return text[at : at + 1]


def end_of(pattern: re.Pattern[str], text: str, at: int, limit: int = sys.maxsize) -> int:
    """Where the match at this place ends."""
    found = pattern.match(text, at, limit)
    return found.end() if found else at
