"""What HTML has besides tags: comments, instructions, declarations, CDATA."""

import re

from .reading import More, peek

_CLOSINGS = {"<!--": "-->", "<?": "?>", "<![CDATA[": "]]>", "<!": ">"}
# A comment in every version of CommonMark, and for a browser in every state.
PLAIN_COMMENT = re.compile(
    r"<!--(?!-?>)(?:(?!--|</(?:i?frame|no(?:embed|frames|script)|script|style|textarea|title|xmp)\b)[\s\S])*+(?<!-)-->",
    re.IGNORECASE,
)


def opening(text: str, at: int, final: bool) -> str:
    """What begins at this place; nothing if none of them does."""
    for begun in _CLOSINGS:
        if not final and len(text) - at < len(begun) and begun.startswith(text[at:]):
            raise More
        if text.startswith(begun, at):
            break
    else:
        return ""
    return begun if begun != "<!" or "A" <= peek(text, at + 2, final).upper() <= "Z" else ""


def closing(begun: str, at: int) -> tuple[str, int]:
    """What ends it, and from which place on."""
    return _CLOSINGS[begun], at + (2 if begun == "<!--" else len(begun))  # `<!-->` and `<!--->` are comments
