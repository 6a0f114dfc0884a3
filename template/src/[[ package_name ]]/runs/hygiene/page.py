"""A text that becomes part of a page unseen: whatever is active is escaped, in code as well."""

from .brackets import References
from .inline import Inline


class Page:
    """Reads a text that comes in pieces; `taken` is how many of its characters have been decided on."""

    def __init__(self) -> None:
        self.taken = 0
        self._out: list[str] = []
        self._inline = Inline(self._write, References(), page=True, doubt=True)

    @property
    def ahead(self) -> int | None:
        return self._inline.ahead

    def feed(self, text: str, *, final: bool = False) -> str:
        """What is decided now."""
        self._inline.draft.add(text)
        self._inline.read(final=final)
        out = "".join(self._out)
        self._out.clear()
        return out

    def _write(self, text: str, length: int) -> None:
        self._out.append(text)
        self.taken += length
