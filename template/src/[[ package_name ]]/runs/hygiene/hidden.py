"""Characters that no screen shows, and that carry text past a reader."""

import re

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"
_CONTROL = "\x00-\x08\x0e-\x1f\x7f-\x9f"
_INVISIBLE = "\ufeff\ufff9-\ufffb\U000e0000-\U000e00ff"  # marks, annotations, tags
_JOINERS = "\u200b-\u200d\u2060-\u2064"  # Persian, Indic scripts and emoji need one at a time
# What a variation selector can vary: emoji and symbols; letters and symbols of some scripts; ideographs.
_EMOJI = "#*0-9\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff"
_VARIED = "0\u1000-\u109f\u2010-\u2bff\u3000-\u9fff\ua840-\uaa7f\uf900-\ufdff\ufe10-\uffef\U00010000-\U0003ffff"
_IDEOGRAPHS = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# The flags of England, Scotland and Wales are spelt in tags.
_FLAG = "|".join("".join(chr(0xE0000 + ord(letter)) for letter in code) for code in ("gbeng", "gbsct", "gbwls"))
_HIDDEN = re.compile(
    rf"(?P<flag>\U0001f3f4(?:{_FLAG})\U000e007f)|[{_CONTROL}{_BIDI}{_INVISIBLE}]"
    rf"|(?<![{_EMOJI}])[\ufe0e\ufe0f]|(?<![{_VARIED}])[\ufe00-\ufe0d]|(?<![{_IDEOGRAPHS}])[\U000e0100-\U000e01ef]"
    rf"|(?<=[{_JOINERS}][{_JOINERS}])[{_JOINERS}]"
)
_ANY = re.compile(rf"[{_CONTROL}{_BIDI}{_INVISIBLE}{_JOINERS}\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_FLAG_BEGUN = re.compile("\U0001f3f4[\U000e0061-\U000e007a]{0,5}\\Z")
_LOOKED_BACK = 2  # characters


class Hidden:
    """Takes hidden characters out of a text that comes in pieces."""

    def __init__(self) -> None:
        self._before = ""
        self._held = ""

    def feed(self, text: str, *, final: bool = False) -> str:
        start, text = len(self._before), self._before + self._held + text
        begun = None if final else _FLAG_BEGUN.search(text, max(start, len(text) - 6))
        self._held = text[begun.start() :] if begun else ""
        text = text[: len(text) - len(self._held)]
        self._before = text[-_LOOKED_BACK:]
        if not _ANY.search(text, start):
            return text[start:]
        parts: list[str] = []
        for found in _HIDDEN.finditer(text, start):
            parts += (text[start : found.start()], found["flag"] or "")
            start = found.end()
        return "".join((*parts, text[start:]))
