"""Hygiene of what comes in: sizes, valid Unicode, hidden characters."""

import re
import unicodedata

from ..errors import InvalidInput
from .hygiene.hidden import Hidden

_MARKS = 100
_PILE = re.compile(rf"[^\w\x00-\x7f]{{{_MARKS},}}")  # all marks are in there, among others


def visible(text: str) -> str:
    """The text for the model: normalised (NFC), without hidden characters.

    Raises:
        InvalidInput: the text is not valid Unicode, or too many marks are piled up on a character: to order them takes
            time with the square of their number.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("The input has unpaired surrogates; send valid Unicode.") from None
    if any(sum(map(bool, map(unicodedata.combining, run))) > _MARKS for run in _PILE.findall(text)):
        raise InvalidInput(f"The input has more than {_MARKS} combining marks in a row; no script needs so many.")
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    return Hidden().feed(text, final=True)


def clean_input(text: str, max_chars: int) -> str:
    """The visible text of an input.

    Raises:
        InvalidInput: the input is empty, too long, or not valid Unicode.
    """
    if len(text) > max_chars:
        raise InvalidInput(f"The input has {len(text)} characters; at most {max_chars} are accepted.")
    cleaned = visible(text)
    if not cleaned.strip():
        raise InvalidInput("The input is empty; send some text.")
    return cleaned
