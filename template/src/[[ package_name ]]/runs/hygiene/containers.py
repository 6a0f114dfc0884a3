"""Block quotes and list items: what of a line belongs to them, and where its text begins."""

import re
from typing import NamedTuple

from .reading import More

QUOTE = 0  # an item is represented by the columns that its lines are indented by
ITEM = re.compile(r"(?:[-+*]|(\d{1,9})[.)])(?=[ \t]|$)")


class Within(NamedTuple):
    depth: int  # so many containers go on
    at: int
    column: int
    disputed: bool  # programs differ about whether one more goes on


class Item(NamedTuple):
    width: int
    at: int
    column: int
    hollow: bool  # nothing follows the marker


def blanks(line: str, at: int, column: int) -> tuple[int, int]:
    """The place and the column behind the blanks."""
    while at < len(line):
        if line[at] == " ":
            column += 1
        elif line[at] == "\t":
            column = column // 4 * 4 + 4
        else:
            break
        at += 1
    return at, column


def columns(line: str, at: int, column: int, count: int) -> tuple[int, int]:
    """The place and the column behind so many columns of blanks; it may be inside of a tab."""
    target = column + count
    while column < target and at < len(line) and line[at] in " \t":
        after = column + 1 if line[at] == " " else column // 4 * 4 + 4
        if after > target:
            return at, target
        at, column = at + 1, after
    return at, column


def within(line: str, containers: list[int], *, hollow: bool, ended: bool) -> Within:
    """How far the containers go on in a line; `hollow` says that the last one is an item without text so far.

    Raises:
        More: the rest of a line that has not `ended` decides.
    """
    at = column = 0
    for depth, width in enumerate(containers):
        place, indent = blanks(line, at, column)
        quoted = line.startswith(">", place)
        if place + quoted == len(line) and not ended:
            raise More
        if width == QUOTE and quoted and indent - column <= 3:
            at, column = columns(line, place + 1, indent + 1, 1)
        elif width != QUOTE and place == len(line) and not (hollow and depth == len(containers) - 1):
            at, column = place, indent
        elif width != QUOTE and place < len(line) and indent - column >= width:
            at, column = columns(line, at, column, width)
        else:
            return Within(depth, at, column, disputed=width == QUOTE and quoted)
    return Within(len(containers), at, column, disputed=False)


def item(line: str, place: int, column: int, indent: int, *, interrupts: bool) -> Item | None:
    """The list item whose marker is at this place, if there is one that may interrupt a paragraph."""
    marker = ITEM.match(line, place)
    if not marker:
        return None
    at, behind = marker.end(), column + indent + marker.end() - place
    text, until = blanks(line, at, behind)
    hollow = text == len(line)
    if interrupts and (hollow or (marker[1] and int(marker[1]) != 1)):
        return None
    spaces = until - behind
    if hollow or spaces > 4:
        spaces = 1
        text, until = columns(line, at, behind, 1)
    return Item(indent + marker.end() - place + spaces, text, until, hollow)
