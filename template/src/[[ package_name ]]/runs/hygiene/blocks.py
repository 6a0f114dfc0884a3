"""The blocks that a line can begin."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from .active import TAG, TAG_BEGUN, Verdict, first_tag
from .ahead import released

# The beginning of a line that the rest of it can still turn into something else.
_UNDECIDED = re.compile(r"(?:[-+*_=#~`.)|:>\d\s]*|`{3}.*|~{3}.*|#{1,6}[ \t].*)\Z", re.DOTALL)
RULE = re.compile(r"(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,}")
TABLE = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_UNDERLINE = re.compile(r"(?:=+|-+)[ \t]*")
_HEADING = re.compile(r"#{1,6}(?:[ \t]|$)")
_FENCE = re.compile(r"(`{3,})[^`]*$|(~{3,})")
_RAW = "pre|script|style|textarea"
_BLOCKS = (
    "address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|dialog|dir|div|dl|dt"
    "|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|link|main|menu"
    "|menuitem|nav|noframes|ol|optgroup|option|p|param|search|section|summary|table|tbody|td|tfoot|th|thead|title|tr"
    "|track|ul"
)
# How HTML begins and what ends it; otherwise a blank line does.
_HTML = (
    (re.compile(rf"<(?:{_RAW})(?=\s|>|$)", re.I), re.compile(f"</(?:{_RAW})>", re.I)),
    (re.compile("<!--"), re.compile("-->")),
    (re.compile(r"<\?"), re.compile(r"\?>")),
    (re.compile("<![A-Za-z]"), re.compile(">")),
    (re.compile(r"<!\[CDATA\["), re.compile("]]>")),
    (re.compile(rf"</?(?:{_BLOCKS})(?=\s|/?>|$)", re.I), None),
)
_TAG_ALONE = re.compile(rf"(?:{TAG.pattern})\s*$")
_NAME = re.compile(r"</?([A-Za-z][A-Za-z0-9-]*)[^A-Za-z0-9-]")
_HTML_NAME = re.compile(f"{_RAW}|{_BLOCKS}", re.I)
_LONGEST_TAG = 1024  # that HTML of several lines may begin with


class Leaf(Enum):
    """What the text of a line is part of."""

    NONE = auto()
    PARAGRAPH = auto()
    HEADING = auto()
    FENCE = auto()
    HTML = auto()


@dataclass
class Block:
    leaf: Leaf
    ends: re.Pattern[str] | None = None
    active: bool = False  # the tag that it begins with is defused, so it is a paragraph
    table: bool = False  # some programs read a table instead


def is_undecided(rest: str) -> bool:
    """Whether more of a line decides what it begins."""
    if not rest.startswith("<"):
        return _UNDECIDED.match(rest) is not None
    name = _NAME.match(rest)
    if not name:
        return rest[1:2] == "" or rest[1] in "!?/" or rest[1].isalpha()
    if tag := TAG.match(rest):
        return _HTML_NAME.fullmatch(name[1]) is not None or not rest[tag.end() :].strip()
    return _HTML_NAME.fullmatch(name[1]) is not None or TAG_BEGUN.match(rest) is not None


def in_text(rest: str) -> bool:
    """Whether a tag at the beginning of a line, although it is open, begins no HTML that more lines belong to."""
    name = _NAME.match(rest)
    return name is not None and not _HTML_NAME.fullmatch(name[1])


def beginning(rest: str, following: Iterator[str], *, paragraph: bool, underlines: bool) -> Block:
    """The block that `rest` of a line begins; a paragraph when it begins none, or goes on with the `paragraph` before.

    Raises:
        More: the lines that follow decide, and are still to come.
    """
    if rest[0] not in "#`~<=-*_":
        return Block(Leaf.PARAGRAPH)
    if rest[0] == "<":
        block = _html(rest, interrupts=paragraph)
    elif fence := _FENCE.match(rest):
        marks = fence[1] or fence[2]
        block = Block(Leaf.FENCE, re.compile(rf"{marks[0]}{{{len(marks)},}}[ \t]*"))
    elif _HEADING.match(rest):
        block = Block(Leaf.HEADING)
    elif (underlines and _UNDERLINE.fullmatch(rest)) or RULE.fullmatch(rest):
        return Block(Leaf.NONE)
    else:
        return Block(Leaf.PARAGRAPH)
    lines = [rest]
    if "|" in rest and block.leaf is not Leaf.PARAGRAPH and (line := next(following, None)) is not None:
        lines.append(line)
        block.table = TABLE.fullmatch(line.strip(" \t")) is not None
    if block.leaf is Leaf.HTML and rest[1] not in "!?" and _begins_active(lines, following):
        return Block(Leaf.PARAGRAPH, active=not (in_text(rest) and released(rest, 0)))
    return block


def _html(rest: str, *, interrupts: bool) -> Block:
    for begins, ends in _HTML:
        if begins.match(rest):
            return Block(Leaf.HTML, ends)
    return Block(Leaf.HTML if not interrupts and _TAG_ALONE.match(rest) else Leaf.PARAGRAPH)


def _begins_active(lines: list[str], following: Iterator[str]) -> bool:
    """Whether HTML begins with a tag that is active or stays open."""
    text = "\n".join(lines)
    while (verdict := first_tag(text)) is Verdict.OPEN and len(text) <= _LONGEST_TAG:
        line = next(following, None)
        if line is None:
            break
        text += f"\n{line}"
    return verdict is not Verdict.HARMLESS
