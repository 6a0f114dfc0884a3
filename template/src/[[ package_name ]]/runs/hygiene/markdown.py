"""Markdown as CommonMark has it, line by line: which text is code, which is HTML, which is neither."""

import re
from contextlib import suppress

from .ahead import harmless
from .blocks import RULE, TABLE, Block, Leaf, beginning, in_text, is_undecided
from .brackets import References
from .containers import ITEM, QUOTE, Within, blanks, columns, item, within
from .inline import Inline
from .lines import Lines, Piece
from .reading import More

_DEEPEST = 100  # containers


class Markdown:
    """Reads a text that comes in pieces; `taken` is how many of its characters are decided on."""

    def __init__(self) -> None:
        self.taken = 0
        self._out: list[str] = []
        self._lines = Lines()
        self._references = References()
        self._containers: list[int] = []
        self._hollow = False  # the last container is an item without text so far
        self._leaf = Leaf.NONE
        self._ends: re.Pattern[str] | None = None  # what ends a fence or HTML
        self._inline: Inline | None = None
        self._line: list[str] | None = None  # the text of the line that is being read, once its block is known
        self._line_end = ""  # of the line before
        self._ahead: int | None = None  # so many characters of an undecided line stay as they are
        self._doubt = False  # programs differ about the blocks from here on

    def feed(self, text: str, *, final: bool = False) -> str:
        """What is decided now."""
        self._lines.add(text)
        self._ahead = None
        with suppress(More):
            for piece in self._lines.pieces(final):
                self._read(piece, final)
                self._lines.take(piece)
        if final:
            self._begin([])
            self._write(self._line_end)
        elif self._inline:
            self._inline.read()
        out = "".join(self._out)
        self._out.clear()
        return out

    @property
    def ahead(self) -> int | None:
        """So many more stay as they are, and no others so far; None if that is unknown."""
        return self._inline.ahead if self._inline and not self._inline.draft.idle else self._ahead

    def _write(self, text: str, length: int | None = None) -> None:
        self._out.append(text)
        self.taken += len(text) if length is None else length

    def _read(self, piece: Piece, final: bool) -> None:
        if self._line is not None:
            self._line.append(piece.text)
            if self._inline:
                self._inline.draft.add(piece.text)
            else:
                self._write(piece.text)
        elif piece.text or piece.end:
            self._place(piece.text, ended=bool(piece.end) or final, final=final)
        if piece.end or final:
            self._end_line(piece.end)

    def _end_line(self, line_end: str) -> None:
        line = "".join(self._line or ())
        if self._leaf is Leaf.HEADING or (self._leaf is Leaf.HTML and self._ends and self._ends.search(line)):
            self._leaf = Leaf.NONE
        if self._inline and self._leaf not in (Leaf.PARAGRAPH, Leaf.HTML):
            self._inline.read(final=True)
            self._inline = None
        self._line, self._line_end = None, line_end

    def _place(self, line: str, *, ended: bool, final: bool) -> None:
        """Gives a line to its block.

        Raises:
            More: which one that is depends on what is still to come.
        """
        where = within(line, self._containers, hollow=self._hollow, ended=ended)
        place, indent = blanks(line, where.at, where.column)
        inside = where.depth == len(self._containers)
        if inside and self._leaf is Leaf.FENCE and self._ends:
            if not ended and not line[place:].strip("`~ \t"):
                raise More
            self._add_code(line, place)
            if ended and indent - where.column <= 3 and self._ends.fullmatch(line, place):
                self._leaf = Leaf.NONE
        elif inside and self._leaf is Leaf.HTML and (place < len(line) or self._ends):
            self._go_on(line, where.at)
        else:
            self._place_anew(line, where, ended=ended, final=final)

    def _place_anew(self, line: str, where: Within, *, ended: bool, final: bool) -> None:
        """Gives a line to the paragraph that is open, or to a new block."""
        depth, at, column, disputed = where
        containers, hollow = self._containers[:depth], False
        paragraph = self._leaf is Leaf.PARAGRAPH
        inside = paragraph and depth == len(self._containers)
        while True:
            place, behind = blanks(line, at, column)
            indent, rest = behind - column, line[place:]
            if not ended and is_undecided(rest):
                if not self._doubt and not disputed and in_text(rest) and not self._defined_only():
                    count = harmless(rest, 0)
                    self._ahead = len(self._line_end) + place + count if count else None
                raise More
            if not rest or indent > 3 or rest[0].isalpha():
                break
            if len(containers) == _DEEPEST:
                disputed = True
                break
            if rest[0] == ">":
                at, column = columns(line, place + 1, behind + 1, 1)
                containers.append(QUOTE)
            elif not RULE.fullmatch(rest) and (found := item(line, place, column, indent, interrupts=inside)):
                width, at, column, hollow = found
                containers.append(width)
            else:
                break
            paragraph = inside = False
        block = Block(Leaf.PARAGRAPH if rest and paragraph else Leaf.NONE)
        if rest and indent <= 3:
            underlines = inside and rest[0] in "-=" and not self._defined_only()
            block = beginning(
                rest, self._lines.following(containers, final), paragraph=paragraph, underlines=underlines
            )
        table = TABLE.fullmatch(rest) is not None
        if table and paragraph and self._inline:
            self._inline.begin_table()
        goes_on = paragraph and block.leaf is Leaf.PARAGRAPH
        special = not inside or indent > 3 or rest[:1] == "<" or ITEM.match(rest)
        # Where there are definitions only, the paragraph is over for some programs.
        self._doubt |= disputed or bool(goes_on and special and self._defined_only())
        if not goes_on:
            self._begin(containers, hollow=hollow and not rest)
            self._open(block, line, place)
            if table and self._inline:
                self._inline.begin_table()
            return
        if self._doubt and self._inline and not self._inline.in_doubt:
            self._inline.doubt()
            self._inline.read(final=True)
            self._inline = self._doubtful()
        self._go_on(line, place, active=block.active)

    def _doubtful(self) -> Inline:
        """For text that for some programs is another block, HTML perhaps."""
        return Inline(self._write, self._references, page=True, doubt=True)

    def _defined_only(self) -> bool:
        return self._inline is not None and self._inline.only_definitions()

    # What is done with a line.

    def _begin(self, containers: list[int], *, hollow: bool = False) -> None:
        """Ends the block that is open."""
        if self._inline:
            self._inline.read(final=True)
        self._inline, self._leaf = None, Leaf.NONE
        self._containers, self._hollow = containers, hollow

    def _open(self, block: Block, line: str, place: int) -> None:
        self._leaf, self._ends = block.leaf, block.ends
        self._doubt |= block.table and block.leaf is Leaf.FENCE
        if block.leaf in (Leaf.NONE, Leaf.FENCE):
            self._add_code(line, place)
            return
        self._write(self._line_end + line[:place])
        self._inline = Inline(
            self._write,
            self._references,
            page=self._doubt or block.leaf is Leaf.HTML,
            doubt=self._doubt or block.table,
            paragraph=block.leaf is Leaf.PARAGRAPH,
        )
        self._add(line[place:], active=block.active)

    def _add_code(self, line: str, place: int) -> None:
        """Adds a line that is code or nothing at all."""
        self._line = []
        if not self._doubt:
            self._write(self._line_end + line)
            return
        self._write(self._line_end + line[:place])
        self._inline = self._doubtful()
        self._add(line[place:])

    def _go_on(self, line: str, place: int, *, active: bool = False) -> None:
        if self._inline:
            self._inline.draft.stand_in("\n", self._line_end + line[:place], len(self._line_end) + place)
            self._add(line[place:], active=active)

    def _add(self, text: str, *, active: bool = False) -> None:
        self._line = [text]
        if self._inline and active:
            self._inline.doubt()
            self._inline.draft.stand_in("&", "&lt;", 1)
        if self._inline:
            self._inline.draft.add(text[active:])
