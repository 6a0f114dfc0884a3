"""Links and images of a paragraph, and the labels that they share with the rest of the text."""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from . import links
from .active import Verdict, active_scheme, tag_in_text
from .draft import Draft
from .links import folded
from .reading import Doubt, More, Span, peek

_DEEPEST = 1_000
# What would be live in the address or the title of a link that is none.
_LIVE = re.compile(r"[`<]|!\[|\]\(")
_POINTED = re.compile(r"[ \t\n]*+(<)[^<>\n]*+(<?)")
_ANY_ADDRESS = re.compile(r"[(:][\s>]*+<?((?:[^\s\\\]]|\\.?)*+)")


@dataclass
class References:
    """The labels of a text."""

    defined: set[str] = field(default_factory=set)
    # These must stay undefined: what would depend on the definition has been sent.
    refused: set[str] = field(default_factory=set)


class Link(NamedTuple):
    """A link or an image."""

    start: int
    end: int
    address: Span | None
    image: bool
    holds_link: bool


class Brackets:
    """The open brackets of a draft."""

    def __init__(self, draft: Draft, references: References) -> None:
        self._draft = draft
        self._references = references
        self._open: list[int] = []  # twice the place, plus one for an image
        self._linked = 0  # so many of them, the outer ones, have a link inside and are none themselves
        self._unlinked = -1  # the last bracket that closed and made no link

    @property
    def first_image(self) -> int:
        """The place of the first open image; the end of the text when there is none."""
        for bracket in self._open:
            if bracket & 1:
                return bracket // 2 - self._draft.base
        return len(self._draft.text)

    def open(self, at: int, *, image: bool) -> None:
        if len(self._open) == _DEEPEST:
            raise Doubt
        self._open.append(2 * (at + self._draft.base) + image)

    def give_up(self, *, defuse: bool) -> None:
        """Forgets what is open; an image may still be one for others."""
        for bracket in self._open if defuse else ():
            if bracket & 1:
                self._draft.edit(bracket // 2 - self._draft.base + 1, 0, " ")
        self._open.clear()

    def closed(self, at: int, final: bool) -> Link | None:
        """What the bracket at this place makes a link or an image of, if anything."""
        if not self._open:
            return None
        text, bracket = self._draft.text, self._open[-1]
        image, start = bracket & 1, bracket // 2 - self._draft.base
        holds_link = len(self._open) <= self._linked
        where, end = None, 0
        if image or not holds_link:
            if peek(text, at + 1, final) == "(":
                where, end = links.tail(text, at + 1, final) or (None, 0)
                if self._differs(start, at + 2, end) if where else self._becomes_address(at + 2, final):
                    raise Doubt
            end = end or self._reference(start + 1 + image, at, final, image=bool(image))
        return Link(start, end, where, bool(image), holds_link) if end else None

    def close(self, at: int, link: Link | None) -> int:
        """Closes the bracket at this place; where the text goes on."""
        if self._open:
            self._open.pop()
        self._linked = min(self._linked, len(self._open))
        if not link:
            self._unlinked = at + self._draft.base
            return at + 1
        if link.image:
            self._draft.edit(link.start + 1, 0, " ")
            if link.holds_link:  # without its mark it is no link either
                return at + 1
        self._linked = len(self._open)
        if link.address:
            self.defuse(link.address)
        return link.end

    def close_any(self, at: int, final: bool) -> None:
        """Defuses the address behind a bracket, whatever it belongs to."""
        peek(self._draft.text, at + 1, final)
        if found := _ANY_ADDRESS.match(self._draft.text, at + 1):
            peek(self._draft.text, found.end(), final)
            self.defuse(Span(*found.span(1)))

    def defuse(self, address: Span) -> None:
        if length := active_scheme(self._draft.text[address.start : address.end]):
            self._draft.edit(address.start, length, "blocked:")

    def define(self, final: bool) -> int | None:
        """Where the definition that is next ends; None if there is none."""
        text, at = self._draft.text, self._draft.at
        begun = links.defined(text, at, final)
        if not begun:
            return None
        label, colon = folded(text[begun[0].start : begun[0].end]), begun[0].end + 1
        found = links.definition(text, begun, final)
        if found and label in self._references.refused:
            self._draft.edit(colon, 0, "\\")
        elif found:
            self._references.defined.add(label)
            if "`" in text[at : found.end]:
                raise Doubt
            self.defuse(found.address)
            return min(found.end, len(text))
        elif self._becomes_address(begun[1], final):
            self._draft.edit(colon, 0, "\\")
        return None

    def doubt_definition(self) -> None:
        """Takes what may be a definition for one, and for text."""
        text, at = self._draft.text, self._draft.at
        begun = links.defined(text, at, final=True)
        label = folded(text[begun[0].start : begun[0].end]) if begun else ""
        if begun and label in self._references.refused:
            self._draft.edit(begun[0].end + 1, 0, "\\")
        elif label:
            self._references.defined.add(label)

    def _reference(self, start: int, at: int, final: bool, *, image: bool) -> int:
        """The end of a link by reference, 0 if its label is not defined."""
        text, name, end = self._draft.text, "", at + 1
        if peek(text, end, final) != "[" and at == start:
            return 0
        if peek(text, end, final) == "[" and (other := links.label(text, end, final)):
            name, end = text[other.start : other.end], other.end + 1
        if not name.strip() and start > 0 and at - start <= links.LABEL_LENGTH:
            own = links.label(text, start - 1, True)
            name = text[start:at] if own and own.end == at else ""
        name = folded(name)
        if name in self._references.defined:
            return end
        if name and (image or "`" in name):
            self._references.refused.add(name)
        return 0

    def _differs(self, start: int, at: int, end: int) -> bool:
        """Whether others read an address or a title differently, or will once a label inside of the link is defined."""
        nested = self._unlinked > start + self._draft.base
        return "`" in self._draft.text[at:end] or (nested and bool(_LIVE.search(self._draft.text, at, end)))

    def _becomes_address(self, at: int, final: bool) -> bool:
        """Whether what is no address in `<>` may become one when the tags inside are defused."""
        text = self._draft.text
        pointed = _POINTED.match(text, at)
        if not pointed:
            return False
        for place in (pointed.start(1), pointed.start(2)):
            verdict = tag_in_text(text, place, final=final)[0]
            if verdict is Verdict.OPEN:
                raise More
            if verdict in (Verdict.ACTIVE, Verdict.CROWDED):
                return True
        peek(text, pointed.end(), final)
        return False
