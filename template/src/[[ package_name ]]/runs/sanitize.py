"""Hygiene of what comes in and what goes out: control and bidirectional characters, active content, secrets."""

import re
import unicodedata
from collections.abc import Callable, Iterable

from ..errors import InvalidInput

MASK = "[redacted]"

# Control characters but tab and newline; bidirectional overrides (CVE-2021-42574); invisible tag characters.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_MARKS = 100
_PILE = re.compile(rf"[^\w\x00-\x7f]{{{_MARKS},}}")  # all marks are in there, among others
# Patterns here take time in proportion to the text: what is shared by two repetitions is possessive (`*+`) or bounded.
# A bracket still open after this many characters is escaped, not waited for.
_HELD = 256
# Elements that run, load or submit something in a browser, and any with attributes that are not plainly harmless:
# unquoted, entities, handlers. Other angle brackets, `List<str>` or `<b>`, stay as they are.
_BRACKET = re.compile(
    r"<(?=[\s/a-z])(?:(?=\s*+/?\s*+(?P<active>script|iframe|frame|object|embed|applet|svg|math|style|link|meta|base|form"
    r"|input|button|img|image|video|audio|source|template|body|html|details|marquee))|(?=[a-z]))",
    re.IGNORECASE,
)
_STOP = re.compile(r"[=>]")
_HARMLESS = re.compile(
    r"""<[a-z][\w-]*(?:\s+(?!on|style)[a-z][\w-]*(?:="(?:[^"<>&]|&(?!#|\w+;))*")?)*\s*/?>""", re.IGNORECASE
)
# Browsers ignore tabs and line ends inside a scheme.
_SPREAD = r"[\t\n]*"
_ACTIVE_URL = re.compile(
    rf"\b(?:{_SPREAD.join('javascript')}|{_SPREAD.join('vbscript')}|data:text/html){_SPREAD}[:;,]",
    re.IGNORECASE,
)
_BOUNDARY = re.compile(r"[\s\u0080-\U0010ffff]")
_MARKDOWN_IMAGE = re.compile(r"!(?=\[)")  # fetched without a click: the way data is leaked out of a chat window
# Credentials by their shape, in case a model repeats one that is not ours.
_SECRET_SHAPE = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{20,}|(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{36,}|xox[abpr]-[A-Za-z0-9-]{10,}"
    r"|AIza[A-Za-z0-9_-]{35}|eyJ[A-Za-z0-9_-]{10,4000}+\.eyJ[A-Za-z0-9_-]{10,}+\.[A-Za-z0-9_-]{10,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)


def visible(text: str) -> str:
    """The text as the model sees it: normalised (NFC), without hidden characters.

    Raises:
        InvalidInput: when it is not valid Unicode, or marks are piled up on a character: to put them in order takes
            time with the square of their number.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("The input has unpaired surrogates; send valid Unicode.") from None
    if any(sum(map(bool, map(unicodedata.combining, run))) > _MARKS for run in _PILE.findall(text)):
        raise InvalidInput(f"The input has more than {_MARKS} combining marks in a row; no script needs so many.")
    return _HIDDEN.sub("", unicodedata.normalize("NFC", text.replace("\r\n", "\n")))


def clean_input(text: str, max_chars: int) -> str:
    """What is asked, `visible`.

    Raises:
        InvalidInput: when it is empty, too long, or not valid Unicode.
    """
    if len(text) > max_chars:
        raise InvalidInput(f"The input has {len(text)} characters; at most {max_chars} are accepted.")
    cleaned = visible(text)
    if not cleaned.strip():
        raise InvalidInput("The input is empty; send some text.")
    return cleaned


def redacted(text: str, secrets: Iterable[str]) -> str:
    """The text without our own secrets."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def clean_output(text: str, secrets: Iterable[str]) -> str:
    """The answer as it leaves: no hidden characters, active content defused, secrets masked."""
    text = _HIDDEN.sub("", text)  # first: they could hide all that is looked for below
    text = _SECRET_SHAPE.sub(MASK, redacted(text, secrets))
    text = _BRACKET.sub(_escaped_in(text), text)
    text = _ACTIVE_URL.sub("blocked:", text)
    return _MARKDOWN_IMAGE.sub("", text)


def _escaped_in(text: str) -> Callable[[re.Match[str]], str]:
    """What is put in the place of a bracket of `text`; asked from left to right, so that nothing is looked at twice."""
    stop = -1

    def escaped(bracket: re.Match[str]) -> str:
        nonlocal stop
        if bracket["active"]:
            return "&lt;"
        at = bracket.start()
        if stop < at:
            found = _STOP.search(text, at)
            stop = found.start() if found else len(text)
        without_attributes = stop - at <= _HELD + 1 and not text.startswith("=", stop)
        return "<" if without_attributes or _HARMLESS.match(text, at) else "&lt;"

    return escaped


class StreamCleaner:
    """Cleans an answer that arrives in pieces: holds back what a later piece could still turn into something bad.

    Pieces are cut where no secret and no tag can be cut in two: behind white space or a character outside ASCII, and
    never inside an angle bracket or a private key.
    """

    def __init__(self, secrets: Callable[[], Iterable[str]]) -> None:
        self._secrets = secrets
        self._pending: list[str] = []
        self._in_key = False

    def feed(self, piece: str) -> str:
        """What may be sent now; possibly nothing."""
        self._pending.append(_HIDDEN.sub("", piece))
        if self._in_key or not _BOUNDARY.search(self._pending[-1]):
            return ""  # at once: to go through all that is held with every piece would take time without end
        text = "".join(self._pending)
        end = max(at.end() for at in _BOUNDARY.finditer(text))
        bracket = text.rfind("<", 0, end)
        if bracket != -1 and ">" not in text[bracket:end]:
            if end - bracket > _HELD:
                text = text[:bracket] + "&lt;" + text[bracket + 1 :]
                end += len("&lt;") - 1
            else:
                end = bracket
        key = text.find("-----BEGIN", 0, end)
        self._in_key = key != -1
        return self._release(text, key if self._in_key else end)

    def finish(self) -> str:
        """The rest."""
        text = "".join(self._pending)
        return self._release(text, len(text))

    def _release(self, text: str, end: int) -> str:
        self._pending = [text[end:]]
        return clean_output(text[:end], self._secrets()) if end else ""
