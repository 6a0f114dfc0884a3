"""What may leave before it is known what it is: it stays the same, whatever comes next."""

import re

from .active import ATTRIBUTE, ELEMENTS, LOADERS, TAG, Verdict, tag_in_page, tag_in_text
from .reading import end_of

# A tag that is harmless so far is held back no longer. Should it become active later, it is broken there.
_HELD = 64
_ADDRESS = r"https?://[^\s<>\"'`|!\[\]]*+"
_PLAIN = r"[\w\s.,/?%#+~@-]*+"
_VALUE = rf"""(?:[\w.-]++(?=[\s>])|"{_PLAIN}"|'{_PLAIN}'|"{_ADDRESS}"?|'{_ADDRESS}'?)"""
_SO_FAR = re.compile(
    rf"<(?!(?:{ELEMENTS.pattern}|{LOADERS.pattern})[ \t\n])[A-Za-z][A-Za-z0-9-]*+(?=[ \t\n])"
    rf"(?:[ \t\n]++(?:(?!(?:{ATTRIBUTE.pattern}|style)\s*=)[A-Za-z_:][\w.:-]*+(?:\s*+=\s*+{_VALUE})?)?)*+",
    re.IGNORECASE,
)
_UNFINISHED = re.compile(rf"""(?:\s*+=\s*+(?:"{_PLAIN}|'{_PLAIN}|[\w.-]*+))?""")
_LINK = re.compile(rf"<{_ADDRESS}")  # no program takes a longer one for a tag
# What may be written differently, or comes right before it: tags, images, addresses.
_STOP = re.compile(r"<(?=[A-Za-z/]|\Z)|!(?=\[|\Z)|\](?=[(:]|\Z)(?!\((?:https?://|mailto:|[\w.-]*[/#?)]))")


def released(text: str, at: int) -> bool:
    """Whether the beginning of the tag at this place leaves before its end is there."""
    so_far = _SO_FAR.match(text, at, at + _HELD) if len(text) - at >= _HELD else None
    return so_far is not None and _UNFINISHED.fullmatch(text, so_far.end(), at + _HELD) is not None


def harmless(text: str, at: int) -> int:
    """How much of the open tag or address at this place stays as it is; 0 when its end has to be waited for."""
    if released(text, at):
        return end_of(_SO_FAR, text, at) - at
    link = end_of(_LINK, text, at) - at
    return link if link > _HELD else 0


def broken(text: str, at: int, end: int, *, ended: bool) -> list[tuple[int, int, str]]:
    """The edits that make text of a tag whose beginning has left. One that has not ended is ended, in any quotes."""
    edits = [(place, 1, "&#61;") for place in range(at + harmless(text, at), end) if text[place] == "="]
    return edits if ended else [*edits, (end, 0, "\"'>")]


def stop(text: str) -> int:
    """The first place where something may be written differently, -1 if there is none."""
    for found in _STOP.finditer(text):
        if found[0] != "<" or not _harmless_tag(text, found.start()):
            return found.start()
    return -1


def _harmless_tag(text: str, at: int) -> bool:
    """Whether there is a whole tag that is harmless for every program."""
    tag = TAG.match(text, at)
    if not tag or "\n" in tag[0] or "\r" in tag[0]:
        return False
    first = min(place for what in "=>" if (place := tag[0].find(what)) >= 0) + at
    inside = tag_in_page(text, at, first, final=False)[0]
    return inside is tag_in_text(text, at, final=False)[0] is Verdict.HARMLESS
