"""Hygiene of an answer: secrets, hidden characters and all that is active are defused; the rest stays byte for byte."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Literal, Protocol

from .credentials import Credentials, OwnSecrets
from .hidden import Hidden
from .markdown import Markdown
from .markup import Markup
from .page import Page

Hygiene = Literal["markdown", "html", "off"]

_AT_ONCE = 8_192  # characters; more are cleaned in a thread, so that nobody waits for the event loop
_SLICE = 65_536


class _Stage(Protocol):
    def feed(self, text: str, *, final: bool = False) -> str:
        """What is ready."""


class Cleaner:
    """Cleans an answer that comes in pieces. Joined, what leaves is the same however the answer is cut."""

    def __init__(self, secrets: Callable[[], Iterable[str]], hygiene: Hygiene) -> None:
        self._markup = Markup(Page() if hygiene == "html" else Markdown())
        self._stages: list[_Stage] = [OwnSecrets(secrets), Credentials()]
        if hygiene != "off":
            self._stages = [Hidden(), *self._stages, self._markup]

    def feed(self, text: str, *, final: bool = False) -> str:
        """What may leave now, possibly nothing; `final` gives all that is left."""
        for stage in self._stages:
            text = stage.feed(text, final=final)
        return text

    async def clean(self, text: str, *, final: bool = False) -> str:
        """The same, without holding up the event loop."""
        if max(len(text), self._markup.work(text)) <= _AT_ONCE:
            return self.feed(text, final=final)
        return await asyncio.to_thread(self._feed_slices, text, final)

    def _feed_slices(self, text: str, final: bool) -> str:
        cleaned = [self.feed(text[at : at + _SLICE]) for at in range(0, len(text), _SLICE)]
        return "".join((*cleaned, self.feed("", final=final)))
