"""What runs, loads or submits something in a page: elements, attributes, addresses."""

import html
import re
from enum import Enum, auto

from .reading import end_of

# Active whatever their attributes are. Some change how a browser reads all that follows.
ELEMENTS = re.compile(
    "applet|audio|button|fencedframe|form|frame(?:set)?|iframe|math|portal|script|select|style|svg|textarea|video",
    re.IGNORECASE,
)
# Active with a value in an attribute; `<image>` alone is a placeholder in a sentence.
LOADERS = re.compile(
    "base|bgsound|embed|image|img|input|isindex|keygen|layer|link|meta|object|param|picture|source|track",
    re.IGNORECASE,
)
# Handlers, what loads or submits, and the hooks of libraries that run what they find in a page.
ATTRIBUTE = re.compile(
    r"(?:on|hx-|data-hx-|v-|x-|ng-|[@:_])\S*|(?:form)?action|attributionsrc|background|code(?:base)?|data(?:src)?|dynsrc"
    r"|http-equiv|(?:image)?srcset|lowsrc|manifest|ping|poster|src(?:doc)?",
    re.IGNORECASE,
)
_PLAIN_STYLE = re.compile(
    r"(?!.*(?:behavio|binding|expression|import|url))[\w\s:;,.#%()!+-]*", re.IGNORECASE | re.DOTALL
)
# Browsers leave out control characters in an address, and blanks before it.
_LEFT_OUT = re.compile(r"^[\s\x00-\x20]+|[\x00-\x1f\x7f-\x9f]+")
_SCHEME = re.compile(
    r"(?:javascript|vbscript|livescript|mocha):|data:\s*(?:text/html|[\w.+-]+/[\w.+-]*(?:html|xml|svg|script))",
    re.IGNORECASE,
)
_COLON = re.compile(r":|&colon;|&#0*58;?|&#x0*3a;?", re.IGNORECASE)
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")

# A tag as CommonMark has it, and what can still become one. A `<` in a value without quotes is not allowed, but becomes
# `&lt;` when it is defused, and that is.
_VALUE = r"""(?:"[^"]*+"|'[^']*+'|[^\s"'=>`]++)"""
_OPENING = rf"[A-Za-z][A-Za-z0-9-]*+(?:\s++[A-Za-z_:][\w.:-]*+(?:\s*+=\s*+{_VALUE})?)*+"
_CLOSING = r"/[A-Za-z][A-Za-z0-9-]*+\s*+"
TAG = re.compile(rf"<(?:{_OPENING}\s*+/?|{_CLOSING})>")
_UNFINISHED = r"""\s*+(?:=\s*+(?:"[^"]*+|'[^']*+)?|/)?\Z"""
TAG_BEGUN = re.compile(rf"<(?:(?:{_OPENING})?+{_UNFINISHED}|{_CLOSING}\Z|/\Z)")
_QUOTED = re.compile(r""""[^"]*+"|'[^']*+'""")
# What less strict programs take for a tag; no longer than this when only an attribute can make it active.
_LOOSE = re.compile(r"<([A-Za-z][A-Za-z0-9:-]*+)[\s/][^<>]*+(>?)")
_LOOSE_LENGTH = 64
# A tag as browsers have it.
_ELEMENT = re.compile(r"<(/?)([A-Za-z][^\s/<>]*+)")
_ATTRIBUTES = re.compile(r"""(?:[\s/]*+[^\s/>=<]++(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|(?!["'])[^\s>]*+))?)*+[\s/]*+""")
_REST = re.compile(_UNFINISHED)
_PAIR = re.compile(r"""([^\s/>=]++)(?:\s*+(=)\s*+("[^"]*+"?|'[^']*+'?|[^\s>]*+))?""")  # with its `=` if it has one
# No tag has so many `<` inside. Without a limit, each `<` of a text might be read to the text's end.
_CROWD = re.compile(r"<(?:[^<]*+<){32}")
_NUMBER = re.compile(r"&#0*([0-9]+)")


class Verdict(Enum):
    """What a `<` is."""

    TEXT = auto()
    HARMLESS = auto()  # a tag
    ACTIVE = auto()
    CROWDED = auto()  # a tag that is still open at its 33rd `<`
    OPEN = auto()  # the text that is still to come decides


def active_address(address: str) -> bool:
    """Whether an address of HTML runs something, be it spelt with entities or with what browsers leave out."""
    short = _NUMBER.sub(lambda number: f"&#{number[1][:8]}", address)  # Python converts no number of 4,301 digits
    return _SCHEME.match(_LEFT_OUT.sub("", html.unescape(short))) is not None


def crowd(text: str, at: int) -> int:
    """The place of the 33rd `<` from here on, or else the end of the text."""
    found = _CROWD.match(text, at)
    return found.end() - 1 if found else len(text)


def active_scheme(address: str) -> int:
    """The length of an active scheme at the beginning of an address of Markdown, with its colon; 0 if there is none."""
    colon = _COLON.search(address) if active_address(_ESCAPED.sub(r"\1", address)) else None
    return colon.end() if colon else 0


def _active(name: str, attributes: str) -> bool:
    if ELEMENTS.fullmatch(name) or (LOADERS.fullmatch(name) and "=" in attributes):
        return True
    for attribute, equals, value in _PAIR.findall(attributes):
        if not equals:
            continue
        value = value.strip("\"'")
        loads = attribute.lower() == "style" and not _PLAIN_STYLE.fullmatch(value)
        if loads or ATTRIBUTE.fullmatch(attribute) or active_address(value) or _holds_active_tag(value):
            return True
    return False


def _holds_active_tag(value: str) -> bool:
    """Whether there would be an active tag where a browser takes the value for text (`<title>`, `<noscript>`)."""
    last = value.rfind("=")
    return any(tag.end() < last or ELEMENTS.fullmatch(tag[2]) for tag in _ELEMENT.finditer(value))


def tag_in_text(text: str, at: int, *, final: bool) -> tuple[Verdict, int]:
    """What the `<` at this place of a paragraph is, and where the tag ends."""
    element, limit = _ELEMENT.match(text, at), crowd(text, at)
    if element and (tag := TAG.match(text, at, limit)):
        attributes = text[element.end() : tag.end() - 1]
        if not element[1] and _active(element[2], attributes):
            return Verdict.ACTIVE, tag.end()
        return (Verdict.TEXT, at) if "<" in _QUOTED.sub("", attributes) else (Verdict.HARMLESS, tag.end())
    if limit < len(text) and element and TAG_BEGUN.match(text, at, limit):
        return Verdict.CROWDED, limit
    if limit == len(text) and not final and TAG_BEGUN.match(text, at):
        return Verdict.OPEN, at
    loose = _LOOSE.match(text, at)
    if not loose:
        return Verdict.TEXT, at
    if loose.end() - at > _LOOSE_LENGTH and not (ELEMENTS.fullmatch(loose[1]) or LOADERS.fullmatch(loose[1])):
        return Verdict.TEXT, at
    if not loose[2]:
        return Verdict.OPEN if loose.end() == len(text) and not final else Verdict.TEXT, at
    active = _active(loose[1], text[loose.end(1) : loose.end() - 1])
    return (Verdict.ACTIVE, loose.end()) if active else (Verdict.TEXT, at)


def tag_in_page(text: str, at: int, stop: int, *, final: bool) -> tuple[Verdict, int]:
    """The same where text is a page's own: a tag that stays open there would swallow what comes next.

    `stop` is the place of the next `=` or `>`, -1 when there is none yet.
    """
    element = _ELEMENT.match(text, at)
    if not element:
        return Verdict.OPEN if not final and len(text) - at <= 2 else Verdict.TEXT, at
    if stop < 0 or element.end() == len(text):
        return Verdict.ACTIVE if final else Verdict.OPEN, at
    opening = not element[1]
    if text[stop] == ">":
        return Verdict.ACTIVE if opening and _active(element[2], "") else Verdict.HARMLESS, at + 1
    limit = crowd(text, at)
    end = end_of(_ATTRIBUTES, text, element.end(), limit)
    if text.startswith(">", end):
        active = opening and _active(element[2], text[element.end() : end])
        return Verdict.ACTIVE if active else Verdict.HARMLESS, end + 1
    waits = not final and limit == len(text) and _REST.match(text, end)
    return Verdict.OPEN if waits else Verdict.ACTIVE, at


def first_tag(text: str) -> Verdict:
    """The same for the tag that HTML begins with."""
    element = _ELEMENT.match(text)
    if not element:
        return Verdict.HARMLESS
    attributes = text[element.end() : end_of(_ATTRIBUTES, text, element.end())]
    end = element.end() + len(attributes)
    if text.startswith(">", end):
        return Verdict.ACTIVE if not element[1] and _active(element[2], attributes) else Verdict.HARMLESS
    return Verdict.OPEN if _REST.match(text, end) else Verdict.ACTIVE
