"""Answers of servers that are mostly compatible with OpenAI's Chat Completions, in OpenAI's own form.

Known fields get their type and their place, whatever the server sent. A value without a meaning is left out. Fields
that OpenAI does not have stay if they are short. Public reports of such servers: openai-python 2721, pydantic-ai 164,
797, 5165, 7678 and 7816, llama.cpp 14268 and 16109, litellm 12481, 37792 and 40040, langchain 35236, autogen 6465.
"""

import json
from typing import Any

from .refusals import Json, Unreadable, refusal_in

# The SDK and pydantic-ai copy fields that OpenAI does not have several times.
_MOST_EXTRAS = 64  # of them in an object
_MOST_EXTRA = 65_536  # characters of one
MOST_CALLS = 128  # of tools in one answer
_NO_WORD = ("", "null", "none")  # as a finish reason while the answer goes on, or as arguments if there are none
# Endings in the words of other APIs, in OpenAI's; any other word is as good as `stop`.
_LENGTH = "max_tokens max_output_tokens max_length model_length token_limit model_context_window_exceeded"
_FILTER = "sensitive safety guardrail_intervened content_filtered recitation blocklist prohibited_content spii refusal"
_BROKEN = "error network_error server_error internal_error insufficient_system_resource timeout abort aborted"
_ENDINGS = {
    **dict.fromkeys(_LENGTH.split(), "length"),
    **dict.fromkeys(_FILTER.split(), "content_filter"),
    **dict.fromkeys([*_BROKEN.split(), "cancelled", "canceled", "failed"], "error"),
}
# Known names; those that the functions below do not read (log probabilities, audio …) have no use in this service.
_OF_ENVELOPE = {"id", "model", "created", "usage", "service_tier", "object", "choices", "error", "moderation"}
_OF_ENVELOPE |= {"system_fingerprint", "metadata"}
_OF_CHOICE = {"index", "message", "delta", "text", "finish_reason", "logprobs", "usage"}
_TEXTS = ("content", "refusal", "reasoning", "reasoning_content")
_OF_MESSAGE = {*_TEXTS, "role", "tool_calls", "function_call", "audio", "annotations"}
_COUNTS = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))


def completion(data: object) -> Json:
    """A whole answer, with exactly one choice.

    Raises:
        Refused: it is an error.
        Unreadable: it is something else.
    """
    if not isinstance(data, dict):
        raise Unreadable(f"a JSON value of the type {type(data).__name__} is no chat completion")
    choice = next(iter(choices_of(data)), {})
    message = message_of(choice)
    if calls := [call for call in message.pop("tool_calls", []) if call["function"]["name"]]:
        message["tool_calls"] = calls
    if not message["content"] and not calls and (error := refusal_in(data) or refusal_in({"choices": 1, **choice})):
        raise error
    if not choice.keys() & {"message", "delta", "text"}:
        raise Unreadable("a JSON object without a message is no chat completion")
    names = [call["id"] for call in calls]
    for call in calls:
        call["id"] = call["id"] if names.count(call["id"]) == 1 else ""  # pydantic-ai replaces an empty id
        call["function"]["arguments"] = call["function"]["arguments"] or "{}"
    told = {"index": 0, "message": message, "finish_reason": reason_of(choice)}
    return {**envelope(data), "object": "chat.completion", "choices": [{**rest_of(choice), **told}]}


def envelope(data: Json) -> Json:
    """Everything but the choices."""
    created, tier = data.get("created"), data.get("service_tier")
    return {
        **_extras(data, _OF_ENVELOPE),
        "id": _string(data.get("id")),
        "model": _string(data.get("model")),
        "created": int(created) if isinstance(created, int | float) and 0 < created < 4e9 else 0,
        "usage": usage_in(data),
        **({"service_tier": tier} if isinstance(tier, str) else {}),
    }


def choices_of(data: Json) -> list[Json]:
    """The choices of an answer or of a piece."""
    return _objects(data.get("choices"))  # null and a single object are sent too


def rest_of(choice: Json) -> Json:
    """Everything but the message and the ending."""
    return _extras(choice, _OF_CHOICE)


def message_of(choice: Json) -> Json:
    """The message of a choice; a piece of a stream may have a `message`, a whole answer a `delta` or a `text`."""
    given = [choice.get(name) for name in ("message", "delta", "text")]
    said = next((value for value in given if value and isinstance(value, dict | list | str)), {})
    said = said if isinstance(said, dict) else {"content": said}
    texts = {name: text for name in _TEXTS if (text := text_of(said.get(name)))}
    calls = _objects(said.get("tool_calls")) or _objects(said.get("function_call"))  # the latter is the older form
    return {
        **_extras(said, _OF_MESSAGE),
        "role": "assistant",
        "content": None,
        **texts,
        **({"tool_calls": [_call(call) for call in calls[:MOST_CALLS]]} if calls else {}),
    }


def reason_of(choice: Json) -> str | None:
    """
    Raises:
        Unreadable: the model's server says that the answer is broken off.
    """
    reason = choice.get("finish_reason")
    if not isinstance(reason, str):
        return "stop" if reason else None
    word = reason.strip().lower()
    told = _ENDINGS.get(word, word)
    if told == "error":
        raise Unreadable(f"it ended with {word}")
    return None if word in _NO_WORD else told


def usage_in(data: Json) -> Json | None:
    """The counts of tokens: Moonshot puts them into a choice of a stream, Groq elsewhere."""
    places = (data, *choices_of(data)[:1], *_objects(data.get("x_groq")))
    return next((usage for place in places for told in _objects(place.get("usage")) if (usage := _usage(told))), None)


def text_of(value: object) -> str:
    """The text of a string, a part or a list of parts; only parts of text have some."""
    if isinstance(value, dict):
        value = value.get("text") if value.get("type", "text") in ("text", "output_text") else ""
    if isinstance(value, list):
        return "".join(text_of(part) for part in value if not isinstance(part, list))
    return _string(value)


def _call(call: Json) -> Json:
    function = next(iter(_objects(call.get("function"))), call)
    arguments, index = function.get("arguments"), call.get("index")
    if not isinstance(arguments, str):
        arguments = "" if arguments is None else json.dumps(arguments)
    arguments = "" if arguments.strip().lower() in _NO_WORD and not arguments.isspace() else arguments
    return {
        **_extras(call, {"index", "id", "type", "function", "name", "arguments", "custom"}),
        "index": index if isinstance(index, int) else None,
        "id": _string(call.get("id")),
        "type": "function",
        "function": {"name": _string(function.get("name")), "arguments": arguments},
    }


def _usage(told: Json) -> Json | None:
    prompt, completion = (next(filter(None, (_count(told.get(name)) for name in names)), 0) for names in _COUNTS)
    if not prompt and not completion:
        return None
    details = {
        name: {key: count for key, value in parts.items() if (count := _count(value))}
        for name in ("prompt_tokens_details", "completion_tokens_details")
        for parts in _objects(told.get(name))
    }
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **details}


def _count(value: object) -> int:
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else 0
    return int(value) if isinstance(value, int | float) and 0 < value < float("inf") else 0


def _extras(data: Json, known: set[str]) -> Json:
    names = data.keys() - known
    return {name: data[name] for name in names if _short(data[name])} if len(names) <= _MOST_EXTRAS else {}


def _short(value: Any) -> bool:
    return not isinstance(value, list | dict | str | int) or len(json.dumps(value)) < _MOST_EXTRA


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _objects(value: object) -> list[Json]:
    """The objects in a list, or a single object where a list is expected."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
