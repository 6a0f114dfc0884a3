"""Errors that a server of Chat Completions sends with the status 200, in the forms that servers have for them."""

import json
import re
from typing import Any

Json = dict[str, Any]

_MOST_CHARS = 2_000
_STATUSES = {
    429: re.compile(r"rate.?limit|too.?many|quota|\b429\b", re.IGNORECASE),
    401: re.compile(r"authenticat|unauthori|api.?key|\b401\b", re.IGNORECASE),
    400: re.compile(r"invalid.?request|bad.?request|context.?length|\b400\b", re.IGNORECASE),
}


class Unreadable(Exception):
    """Not an answer in any form of Chat Completions."""


class Refused(Exception):
    """An error in the place of an answer.

    Args:
        message: for people.
        kind: the server's words for it: its code and its type.
        code: its code, which may be an HTTP status.
    """

    def __init__(self, message: object, kind: str = "", code: object = None) -> None:
        text = (message if isinstance(message, str) else json.dumps(message))[:_MOST_CHARS]
        super().__init__(text)
        self._text, self._kind = text, kind[:200]
        told = int(code) if isinstance(code, str) and re.fullmatch("[45][0-9][0-9]", code) else code
        matching = (status for status, words in _STATUSES.items() if words.search(kind))
        self.status = told if isinstance(told, int) and 400 <= told < 600 else next(matching, 502)

    def body(self, *, paid: bool = False) -> Json:
        """The error in OpenAI's form. `paid`: a part of the answer came before it, so it is no refusal of the request:
        it carries no status.
        """
        if paid:
            return {"error": {"message": f"{self._kind} {self._text}".strip()}}
        return {"error": {"message": self._text, "type": self._kind or None, "code": str(self.status)}}


def refusal_in(data: Json, *, event: str = "") -> Refused | None:
    """The error that an object without an answer holds, or None."""
    error = data.get("error") or data.get("errors")
    if isinstance(error, list) and error:
        error = error[0]
    if not error and not data.get("choices"):
        marks = (event, data.get("object"), data.get("type"), data.get("status"))
        if "error" in marks or "detail" in data:
            error = {**data, "message": data.get("message") or data.get("detail")}
    if not error:
        return None
    if not isinstance(error, dict):
        return Refused(error, str(data.get("error_type") or ""), data.get("code"))
    code = error.get("code") or error.get("status_code") or error.get("status")
    kind = " ".join(str(word) for word in (code, error.get("type")) if isinstance(word, str | int) and word)
    message = error.get("message") or error.get("detail") or "The model's server reported an error."
    return Refused(message, kind, code)
