"""The text of one block, read from left to right as CommonMark reads it, with all that is active defused."""

import re
from typing import NoReturn

from . import links, opaque
from .active import Verdict, crowd, tag_in_page, tag_in_text
from .ahead import broken, harmless, released
from .backticks import Backticks
from .brackets import Brackets, References
from .draft import Draft, Write
from .reading import Doubt, More, Span, peek

_SPECIAL = re.compile(r"[\\`\[\]]|<(?=[!-;=?-~]|\Z)|!(?=\[|\Z)")
_TAG = re.compile(r"<(?=[A-Za-z/]|\Z)")
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
# Programs that know tables read each cell by itself.
_CELL_END = re.compile(r"(?<!\\)\||\n")
_LIVE = re.compile(r"<[A-Za-z/]|!\[|\]\(")


class Inline:
    """Reads what its draft is given.

    The text of a `page` is HTML, only tags count there. In `doubt` programs differ about what is code: nothing is.
    A `paragraph` may begin with definitions.
    """

    def __init__(
        self, write: Write, references: References, *, page: bool = False, doubt: bool = False, paragraph: bool = False
    ) -> None:
        self.draft = Draft(write)
        self.in_doubt = doubt
        self.defines = paragraph and not doubt
        self._page = page
        self._page_until = 0
        self._backticks = Backticks(self.draft)
        self._brackets = Brackets(self.draft, references)
        self._table = False
        self._harmless = 0  # so many characters from here on, although the tag is open
        self._crossed = -1  # on the line of this place something was skipped that is more than a part of a cell

    def doubt(self) -> None:
        """Trusts nothing from here on."""
        self.read()
        self._doubt()

    def begin_table(self) -> None:
        """Takes the line before this place for the head of a table."""
        self.read()
        self._table = True
        if self._crossed >= 0 and "\n" not in self.draft.text[self._crossed - self.draft.base :]:
            self._doubt()

    def only_definitions(self) -> bool:
        """Whether the text is a row of definitions."""
        if self.defines:
            self.read()
        return self.defines and links.only_definitions(self.draft.text, self.draft.at)

    def read(self, *, final: bool = False) -> None:
        """Reads as far as it can be decided, and writes that."""
        draft = self.draft
        draft.join()
        self._harmless = 0
        while True:
            try:
                while self.defines:
                    self._define(final)
                special = _SPECIAL if self.in_doubt or not self._page else _TAG
                while found := special.search(draft.text, draft.at):
                    draft.at = found.start()
                    draft.at = self._step(found[0], draft.at, final)
                draft.at = len(draft.text)
                break
            except Doubt:
                self._doubt()
            except More:
                break
        if final:
            self._brackets.give_up(defuse=False)
        draft.flush(min(draft.at, self._brackets.first_image))

    @property
    def ahead(self) -> int | None:
        """How many characters behind those that are written stay as they are; None if that is unknown."""
        return self.draft.before(self._harmless) if self._harmless or self.draft.edited else None

    def _doubt(self) -> None:
        if self.defines:
            self._brackets.doubt_definition()
        self.in_doubt, self.defines = True, False
        self._brackets.give_up(defuse=True)

    def _define(self, final: bool) -> None:
        character = peek(self.draft.text, self.draft.at, final)
        end = self._brackets.define(final) if character else None
        self.defines = end is not None
        self.draft.at = end or self.draft.at

    def _step(self, character: str, at: int, final: bool) -> int:
        """Reads what begins at this place; where to go on."""
        text = self.draft.text
        page = self._page or at + self.draft.base < self._page_until
        if character == "<":
            return self._angle(at, final, page=page)
        if self.in_doubt:
            if character == "!" and peek(text, at + 1, final) == "[":
                self.draft.edit(at + 1, 0, " ")
            elif character == "]":
                self._brackets.close_any(at, final)
            return at + 1
        if page:
            return at + 1
        if character == "\\":
            return at + 1 + (peek(text, at + 1, final) in _PUNCTUATION)
        if character == "`":
            end, is_code = self._backticks.code(at, final)
            return self._pass(at, at, end, final) if is_code else end
        if character == "]":
            if link := self._brackets.closed(at, final):
                self._pass(link.start, at, link.end, final)
            return self._brackets.close(at, link)
        if character == "!" and peek(text, at + 1, final) != "[":
            return at + 1
        self._brackets.open(at, image=character == "!")
        return at + 1 + (character == "!")

    def _angle(self, at: int, final: bool, *, page: bool) -> int:
        text = self.draft.text
        if not page or self.in_doubt:
            limit = crowd(text, at)
            if link := links.AUTOLINK.match(text, at, limit):
                self._brackets.defuse(Span(at + 1, link.end() - 1))
                if not page:
                    return at + 1 if "<" in link[1] else self._one_thing(at, link.end(), final)
            elif (limit < len(text) or not final) and links.AUTOLINK_BEGUN.match(text, at, limit):
                if limit == len(text):
                    self._wait(at, page=page)
                self._brackets.defuse(Span(at + 1, limit))
        if page:
            stops = [stop for what in "=>" if (stop := self.draft.find(what, at)) >= 0]
            verdict, end = tag_in_page(text, at, min(stops, default=-1), final=final)
            if verdict is Verdict.HARMLESS and not self.in_doubt:
                return end if self._page else min(end, self._page_until - self.draft.base)
        elif peek(text, at + 1, final) in ("!", "?"):
            return at + 1 if self.in_doubt else self._opaque(at, final)
        else:
            verdict, end = tag_in_text(text, at, final=final)
        if verdict is Verdict.OPEN:
            self._wait(at, page=page)
        if verdict is Verdict.HARMLESS:
            return self._one_thing(at, end, final)
        if verdict in (Verdict.ACTIVE, Verdict.CROWDED):
            self._defuse(at, end, page=page, ended=verdict is Verdict.ACTIVE)
        return at + 1

    def _wait(self, at: int, *, page: bool) -> NoReturn:
        self._harmless = 0 if page else harmless(self.draft.text, at)
        raise More

    def _defuse(self, at: int, end: int, *, page: bool, ended: bool) -> None:
        """Makes text of an active tag: at its beginning, or further on when the beginning has left already."""
        text = self.draft.text
        edits = [(at, 1, "&lt;")] if page or not released(text, at) else broken(text, at, end, ended=ended)
        for edit in edits:
            self.draft.edit(*edit)

    def _opaque(self, at: int, final: bool) -> int:
        """Goes into a comment, an instruction, a declaration or CDATA: the text of a page."""
        text = self.draft.text
        opening = opaque.opening(text, at, final)
        if not opening:
            return at + 1
        closing, start = opaque.closing(opening, at)
        end = self.draft.find(closing, start) + len(closing)
        if end < start:
            if final:
                return at + 1
            raise More
        if opaque.PLAIN_COMMENT.match(text, at):
            return self._one_thing(at, end, final)
        self._page_until = end + self.draft.base
        if opening == "<!--" or "`" in text[at:end]:
            raise Doubt
        self._pass(at, at + 1, end, final)
        return at + 1

    def _one_thing(self, at: int, end: int, final: bool) -> int:
        """Goes on behind a tag, unless there is a backtick inside, which some programs read first."""
        if self.in_doubt:
            return at + 1
        if "`" in self.draft.text[at:end]:
            raise Doubt
        return self._pass(at, at + 1, end, final)

    def _pass(self, start: int, at: int, end: int, final: bool) -> int:
        """Goes on at `end`. What is skipped from `at` on is live where a table has `start` in another cell."""
        text, base = self.draft.text, self.draft.base
        crosses = _CELL_END.search(text, start, end) is not None
        if crosses and self._table:
            raise Doubt
        if self._crossed >= 0 and text.find("\n", self._crossed - base, start) >= 0:
            self._crossed = -1
        if crosses or self._crossed >= 0:
            # The next line shows whether a table begins.
            if not final and self.draft.find("\n", end) < 0 and _LIVE.search(text, at, end):
                raise More
            self._crossed = (end if crosses else start) + base
        return end
