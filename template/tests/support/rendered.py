"""What is active in a text once a client shows it: markdown-it renders it, html.parser reads the page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from markdown_it import MarkdownIt

_ELEMENTS = {"applet", "audio", "button", "form", "frame", "frameset", "iframe", "math", "script", "select", "style"}
_ELEMENTS |= {"svg", "textarea", "video"}
_LOADERS = {"base", "embed", "image", "img", "input", "isindex", "keygen", "link", "meta", "object", "param", "source"}
_ATTRIBUTES = {
    "action",
    "background",
    "data",
    "formaction",
    "http-equiv",
    "manifest",
    "ping",
    "poster",
    "srcdoc",
    "srcset",
}
_ADDRESS = re.compile(r"(?:java|vb)script:|data:\s*(?:text/html|[\w.+-]+/[\w.+-]*(?:xml|html|script))")
_LOADING_STYLE = re.compile(r"url|expression|import|behavior|binding")
# CommonMark, and with tables, as most chats have it; neither refuses an address by itself.
_PROGRAMS = (MarkdownIt("commonmark"), MarkdownIt("js-default", {"html": True}))
for _program in _PROGRAMS:
    setattr(_program, "validateLink", lambda _: True)  # noqa: B010 a method of theirs


class _Finder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _ELEMENTS or (tag in _LOADERS and any(value is not None for _, value in attrs)):
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            if value is None:
                continue
            address = re.sub(r"[\x00-\x1f\x7f]", "", value).strip().lower()
            loads = name == "style" and _LOADING_STYLE.search(address)
            if name.startswith("on") or name in _ATTRIBUTES or loads or _ADDRESS.match(address):
                self.found.append(f"<{tag} {name}={value}>")

    handle_startendtag = handle_starttag


def active_in_page(page: str) -> list[str]:
    """What runs, loads or submits something in a page."""
    finder = _Finder()
    try:
        finder.feed(page)
        finder.close()
    except AssertionError:  # `<![x`, where html.parser stops and a browser sees a comment
        pass
    return finder.found


def active(text: str) -> list[str]:
    """The same in a text of Markdown."""
    return [found for program in _PROGRAMS for found in active_in_page(program.render(text))]
