"""The parts of Markdown's links: labels, addresses, titles, definitions."""

import re
from typing import NamedTuple

from .reading import Doubt, Span, end_of, peek

_BLANKS = re.compile(r"[ \t\n]*+")
_POINTED = re.compile(r"<(?:[^<>\n\\]|\\.)*+")
_PARTS = re.compile(r"\\[^ \n]|[\\()\x00-\x20\x7f]")
_PARENTHESES = 4  # open in an address; every program allows three
_TITLES = {
    '"': (re.compile(r'"(?:[^"\\]|\\.)*+', re.DOTALL), '"'),
    "'": (re.compile(r"'(?:[^'\\]|\\.)*+", re.DOTALL), "'"),
    "(": (re.compile(r"\((?:[^()\\]|\\.)*+", re.DOTALL), ")"),
}
_LABEL = re.compile(r"\[(?:[^\[\]\\]|\\.)*+", re.DOTALL)
LABEL_LENGTH = 999
# A `<` in the address is not allowed, but becomes `&lt;` when it is defused, and that is.
AUTOLINK = re.compile(r"<([A-Za-z][A-Za-z0-9+.-]{1,31}:[^>\x00-\x20]*+|[\w.!#$%&'*+/=?^`{|}~-]++@[A-Za-z0-9.-]++)>")
AUTOLINK_BEGUN = re.compile(
    r"<(?:[A-Za-z][A-Za-z0-9+.-]{0,31}(?::[^>\x00-\x20]*+)?|[\w.!#$%&'*+/=?^`{|}~-]*+(?:@[A-Za-z0-9.-]*+)?)\Z"
)


class Definition(NamedTuple):
    address: Span
    end: int


def _closed(text: str, end: int, closing: str, final: bool) -> bool:
    return peek(text, end + text.startswith("\\", end), final) == closing


def folded(label: str) -> str:
    """A label in the form that programs compare."""
    return " ".join(label.split()).casefold()


def label(text: str, at: int, final: bool) -> Span | None:
    """The label in the brackets that begin at this place."""
    end = end_of(_LABEL, text, at)
    if end - at > LABEL_LENGTH + 1:
        return None
    return Span(at + 1, end) if _closed(text, end, "]", final) else None


def address(text: str, at: int, final: bool) -> tuple[Span, int] | None:
    """The address at this place, and where the text goes on."""
    if peek(text, at, final) == "<":
        end = end_of(_POINTED, text, at)
        return (Span(at + 1, end), end + 1) if _closed(text, end, ">", final) else None
    depth, end = 0, len(text)
    for part in _PARTS.finditer(text, at):
        if part[0] == "(":
            depth += 1
        elif part[0] == ")" and depth:
            depth -= 1
        elif part[0][0] != "\\":
            end = part.start()
            break
        # Programs differ about a backslash before a blank.
        if depth > _PARENTHESES or (part[0] == "\\" and peek(text, part.end(), final)):
            raise Doubt
    else:
        peek(text, end, final)
    return (Span(at, end), end) if end > at and not depth else None


def _title(text: str, at: int, final: bool) -> int | None:
    """Where the title at this place ends."""
    pattern, closing = _TITLES.get(peek(text, at, final), (None, ""))
    if pattern is None:
        return None
    end = end_of(pattern, text, at)
    return end + 1 if _closed(text, end, closing, final) else None


def tail(text: str, at: int, final: bool) -> tuple[Span, int] | None:
    """The address of an inline link whose `(` is at this place, and where the link ends."""
    end = end_of(_BLANKS, text, at + 1)
    where = Span(end, end)
    if found := address(text, end, final):
        where, start = found
        end = end_of(_BLANKS, text, start)
        if end > start and (behind := _title(text, end, final)):
            end = end_of(_BLANKS, text, behind)
    return (where, end + 1) if peek(text, end, final) == ")" else None


def defined(text: str, at: int, final: bool) -> tuple[Span, int] | None:
    """The label of what may be a definition, and where its address begins."""
    name = label(text, at, final) if peek(text, at, final) == "[" else None
    if not name or not text[name.start : name.end].strip() or peek(text, name.end + 1, final) != ":":
        return None
    start = end_of(_BLANKS, text, name.end + 2)
    peek(text, start, final)
    return name, start


def definition(text: str, begun: tuple[Span, int], final: bool) -> Definition | None:
    """The definition at the beginning of a paragraph, which has begun like that."""
    found = address(text, begun[1], final)
    if not found:
        return None
    where, start = found
    end = end_of(_BLANKS, text, start)
    behind = _title(text, end, final) if end > start else None
    line = _next_line(text, behind, final) if behind else None
    if not line and behind == end + 2:
        raise Doubt  # an empty title, and more text: for some it is no definition then
    line = line or _next_line(text, start, final)
    return Definition(where, line) if line else None


def only_definitions(text: str, at: int) -> bool:
    """Whether the text from here on is a row of definitions."""
    while at < len(text):
        begun = defined(text, at, final=True)
        try:
            found = definition(text, begun, final=True) if begun else None
        except Doubt:
            return True
        if not found:
            return False
        at = found.end
    return True


def _next_line(text: str, at: int, final: bool) -> int | None:
    """Where the next line begins; None when there is more than blanks before."""
    while (character := peek(text, at, final)) in (" ", "\t"):
        at += 1
    return at + 1 if character in ("\n", "") else None
