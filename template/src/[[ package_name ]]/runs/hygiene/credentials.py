"""Secrets in an answer: our own, and whatever has the shape of one, in case a model repeats it."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from .reading import More, end_of
from .shapes import (
    BY_PREFIX,
    JWT,
    JWT_BEGUN,
    JWT_BODY,
    JWT_PART,
    KEY,
    KEY_BEGUN,
    KEY_END,
    KEY_END_LENGTH,
    KEY_HEAD,
    LONGEST_PREFIX,
    PREFIX,
    PREFIX_BEGUN,
)

MASK = "[redacted]"

# What a reader does not see inside of a secret.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


def _seen(text: str) -> tuple[str, Sequence[int]]:
    """The text without what is invisible, and the place that each of its characters has in `text`."""
    if not _INVISIBLE.search(text):
        return text, range(len(text) + 1)
    places = [place for place, character in enumerate(text) if not _INVISIBLE.match(character)]
    return "".join(text[place] for place in places), [*places, len(text)]


@lru_cache(maxsize=8)
def _either(secrets: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, secrets)))


def redacted(text: str, secrets: Iterable[str]) -> str:
    """The text without our own secrets."""
    return OwnSecrets(lambda: secrets).feed(text, final=True)


class OwnSecrets:
    """Masks our own secrets, longest first, in a text that comes in pieces."""

    def __init__(self, secrets: Callable[[], Iterable[str]]) -> None:
        self._secrets = secrets
        self._held = ""

    def feed(self, text: str, *, final: bool = False) -> str:
        secrets = tuple(secret for value in self._secrets() if (secret := _INVISIBLE.sub("", value)))
        if not secrets:
            return text
        text, at, done = self._held + text, 0, 0
        parts: list[str] = []
        plain, places = _seen(text)
        hold = len(plain) if final else self._begun(plain, at, secrets)
        while (found := _either(secrets).search(plain, at)) and found.start() < hold:
            parts += (text[done : places[found.start()]], MASK)
            at, done = found.end(), places[found.end() - 1] + 1
            hold = len(plain) if final else self._begun(plain, at, secrets)
        self._held = text[max(done, places[hold]) :]
        return "".join((*parts, text[done : places[hold]]))

    def _begun(self, text: str, at: int, secrets: tuple[str, ...]) -> int:
        """The place from which on the text may be the beginning of a secret."""
        hold = len(text)
        for secret in secrets:
            place = max(at, len(text) - len(secret) + 1)
            while (place := text.find(secret[0], place, hold)) >= 0:
                if secret.startswith(text[place:]):
                    hold = place
                place += 1
        return hold


class Credentials:
    """Masks what has the shape of a credential in a text that comes in pieces."""

    def __init__(self) -> None:
        self._before = ""  # the last character that was let through
        self._held = ""
        self._run: re.Pattern[str] | None = None  # what can still belong to the last credential
        self._in_key = False
        self._tried = 0  # no JWT begins before this place

    def feed(self, text: str, *, final: bool = False) -> str:
        start, text = len(self._before), self._before + self._held + text
        parts: list[str] = []
        plain, places = _seen(text)
        at = self._swallow(plain, start, final)
        done = places[at - 1] + 1 if at else 0
        while not self._in_key and (found := PREFIX.search(plain, at)):
            try:
                end = self._end(plain, found, final)
            except More:
                at = found.start()
                break
            if end is None:
                at = found.start() + 1
            else:
                parts += (text[done : places[found.start()]], MASK)
                at = self._swallow(plain, end, final)
                done = places[at - 1] + 1
        else:
            if not self._in_key:
                begun = None if final else PREFIX_BEGUN.search(plain, max(at, len(plain) - LONGEST_PREFIX))
                at = begun.start() if begun else len(plain)
        hold = done if self._run or self._in_key else places[at]
        self._before, self._held = plain[:at][-1:], "" if final else text[hold:]
        self._tried = max(self._tried - at + len(self._before), 0)
        return "".join((*parts, text[done:hold]))

    def _end(self, plain: str, prefix: re.Match[str], final: bool) -> int | None:
        """Where the credential ends whose prefix this is; None when it is none.

        Raises:
            More: when the text that is still to come decides.
        """
        start, at = prefix.span()
        if prefix[0] == KEY:
            head = KEY_HEAD.match(plain, at)
            if not head and not final and KEY_BEGUN.match(plain, at):
                raise More
            self._in_key = head is not None
            return head.end() if head else None
        if plain[start - 1 : start].isalnum() and plain[start - 1].isascii():
            return None
        if prefix[0] == JWT:
            return self._jwt(plain, at, final)
        shape = BY_PREFIX[prefix[0]]
        end = end_of(shape.run, plain, at)
        open_end = end == len(plain) and not final
        if open_end and (end - at < shape.least or end - at == shape.most):
            raise More
        if not shape.least <= end - at <= shape.most:
            return None
        self._run = shape.run if open_end else None
        return end

    def _jwt(self, plain: str, at: int, final: bool) -> int | None:
        if at < self._tried:
            return None
        if token := JWT_BODY.match(plain, at):
            self._run = BY_PREFIX["sk-"].run
            return token.end()
        if not final and JWT_BEGUN.match(plain, at):
            raise More
        self._tried = end_of(JWT_PART, plain, at)
        return None

    def _swallow(self, plain: str, at: int, final: bool) -> int:
        """Where the last credential ends, or how much of it is to be forgotten."""
        if self._in_key:
            end = KEY_END.search(plain, at)
            self._in_key = end is None
            return end.end() if end else max(at, len(plain) - KEY_END_LENGTH)
        if self._run:
            at = end_of(self._run, plain, at)
            if at < len(plain) or final:
                self._run = None
        return at
