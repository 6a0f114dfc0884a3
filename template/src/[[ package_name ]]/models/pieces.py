"""A stream of a mostly compatible server, as the chunks that OpenAI would send: one meaning each, in order."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .dialects import MOST_CALLS, choices_of, envelope, message_of, reason_of, rest_of
from .refusals import Json, refusal_in

# pydantic-ai knows a thinking tag only as a text of its own; other tokenizers cut it, or send it with its neighbours.
_TAG = re.compile(r"(</?think>)")
MOST_TEXT = 65_536  # characters of a chunk; a longer one holds the event loop
_TAG_BEGUN = re.compile(r"<(?:/(?:t(?:h(?:i(?:nk?)?)?)?)?|t(?:h(?:i(?:nk?)?)?)?)?\Z")


class Pieces:
    """Turns the objects of one stream into chunks.

    Attributes:
        ended: whether the server gave a finish reason.
        begun: whether any object held a part of the answer.
    """

    def __init__(self) -> None:
        self.ended = False
        self.begun = False
        self._held = ""  # the end of the text so far: a begun tag, or half a character
        self._calls: list[_Call] = []
        self._choice: object = None  # index of the choice that is the answer

    def chunks(self, data: Json, event: str = "") -> Iterator[Json]:
        """
        Raises:
            Refused: the object is an error.
        """
        choices = choices_of(data)
        if self._choice is None and choices:
            self._choice = choices[0].get("index", 0)
        choice = next((choice for choice in choices if choice.get("index", 0) == self._choice), {})
        message, reason = message_of(choice), reason_of(choice)
        if choice and data.get("object") == "chat.completion":
            reason = reason or "stop"  # a whole answer, from a server that does not stream
        content, calls = message.pop("content") or "", self._placed(message.pop("tool_calls", []))
        if (
            not content
            and not calls
            and (error := refusal_in(data, event=event) or refusal_in({"choices": 1, **choice}))
        ):
            raise error
        self.begun = self.begun or bool(choices)
        self.ended = self.ended or reason is not None
        texts = self._cut(content, last=reason is not None)
        shell = {**envelope(data), "object": "chat.completion.chunk"}
        if not choice:
            yield {**shell, "choices": []}
            return
        usage, rest = shell.pop("usage"), rest_of(choice)
        deltas: list[Json] = [{**message, "content": "".join(texts[:1]) or None}]
        deltas += [{"content": text} for text in texts[1:]]
        deltas[-1] |= {"tool_calls": calls} if calls else {}
        for delta in deltas[:-1]:
            yield _chunk(shell, {**rest, "delta": delta})
        yield _chunk({**shell, "usage": usage}, {**rest, "delta": deltas[-1], "finish_reason": reason})

    def ending(self) -> Iterator[Json]:
        """The last chunks of a stream that the server declared done."""
        if texts := self._cut("", last=True):
            yield from (_chunk({}, {"delta": {"content": text}}) for text in texts)
        if not self.ended:
            yield _chunk({}, {"delta": {}, "finish_reason": "tool_calls" if self._calls else "stop"})

    def _cut(self, text: str, *, last: bool) -> list[str]:
        """The text that can be passed on, each thinking tag by itself."""
        if not text and not self._held:
            return []
        text, self._held = _joined(self._held + text), ""
        if not last:
            begun = _TAG_BEGUN.search(text)
            keep = begun.start() if begun else len(text) - ("\ud800" <= text[-1:] < "\udc00")
            text, self._held = text[:keep], text[keep:]
        parts = _TAG.split(text)
        return [part[at : at + MOST_TEXT] for part in parts for at in range(0, len(part), MOST_TEXT)]

    def _placed(self, calls: list[Json]) -> list[Json]:
        return [placed for call in calls if (placed := self._place(call))]

    def _place(self, call: Json) -> Json | None:
        """The delta with the index of its tool call; servers leave the index out, or send 0 for each call."""
        function, index = call["function"], call["index"]
        known = [one for one in self._calls if index is None or one.given in (index, None)]
        named = [one for one in known if call["id"] and one.id == call["id"]]
        found = next(reversed(named or known), None)
        if found and not found.is_left_by(call):
            arguments = "" if found.repeats(call) else function["arguments"]
            found.arguments += arguments
            return {"index": self._calls.index(found), "function": {"arguments": arguments}} if arguments else None
        if not function["name"] or len(self._calls) == MOST_CALLS:
            return None  # a part of no call
        taken = any(one.id == call["id"] for one in self._calls)
        self._calls.append(_Call(index, call["id"], function["name"], function["arguments"]))
        return {**call, "index": len(self._calls) - 1, "id": None if taken else call["id"] or None}


@dataclass
class _Call:
    """A tool call so far."""

    given: int | None  # the server's index
    id: str
    name: str
    arguments: str

    def is_left_by(self, call: Json) -> bool:
        """Whether the delta begins another call. Only its first delta has a name, but some servers repeat it."""
        name, same = call["function"]["name"], call["id"] in ("", self.id)
        if not name:
            return False
        if not self.arguments:
            return bool(name != self.name)
        if self._complete:
            return not (same and (not call["function"]["arguments"] or self.repeats(call)))
        return bool(name != self.name and not same)

    def repeats(self, call: Json) -> bool:
        """Whether a server sends the whole call again at the end."""
        function = call["function"]
        return bool(function["name"] == self.name and function["arguments"] == self.arguments and self._complete)

    @property
    def _complete(self) -> bool:
        try:
            return self.arguments.rstrip().endswith("}") and isinstance(json.loads(self.arguments), dict)
        except (ValueError, RecursionError):
            return False


def whole_of(chunks: Iterable[Json]) -> Json:
    """The whole answer that the chunks make, from a server that streams although it is not asked to."""
    texts: dict[str, str] = {}
    calls: list[Json] = []
    shell: Json = {}
    choice: Json = {}
    for chunk in chunks:
        shell |= {name: value for name, value in chunk.items() if value}
        choice |= {name: value for one in chunk["choices"] for name, value in one.items() if value}
        for delta in (one["delta"] for one in chunk["choices"]):
            for name in ("content", "reasoning", "reasoning_content", "refusal"):
                texts[name] = texts.get(name, "") + (delta.get(name) or "")
            for call in delta.get("tool_calls", ()):
                if call["index"] == len(calls):
                    calls.append(call)
                else:
                    calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
    message = {**texts, "tool_calls": calls}
    return {**shell, "choices": [{**choice, "message": message}] if choice else []}


def _chunk(shell: Json, choice: Json) -> Json:
    return {
        "id": "",
        "model": "",
        "created": 0,
        "object": "chat.completion.chunk",
        **shell,
        "choices": [{"index": 0, **choice}],
    }


def _joined(text: str) -> str:
    """The text with the halves of its characters (surrogates) joined, for servers that cut a text between them."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return text
