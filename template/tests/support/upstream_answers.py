"""The answers of the fake model: Chat Completions bodies, whole and as server-sent events.

The model is deterministic. It calls a tool when the last user message says `call <tool> {json arguments}` and the
request offers that tool; it repeats what a tool returned; everything else is answered with the question itself.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import SplitResult, parse_qs

from support.upstream_faults import Rule, Script
from support.upstream_oddities import ODDITIES, framed

Json = dict[str, Any]

RATES = {"EUR": 1.0, "USD": 1.08, "GBP": 0.86, "JPY": 162.5, "CHF": 0.94}

CALL = re.compile(r"\bcall (\w+) (\{.*\})", re.DOTALL)


def answer_to(
    method: str, url: SplitResult, request: Json, script: Script, rule: Rule | None
) -> tuple[list[bytes], str, int]:
    """The body (in several parts for a stream), its type and its status, without a fault."""
    if (method, url.path) == ("GET", "/latest"):
        return [rates(parse_qs(url.query))], "application/json", 200
    if (method, url.path) != ("POST", "/v1/chat/completions"):
        return [b'{"error": {"message": "no such path"}}'], "application/json", 404
    message = message_for(request, "x" * rule.bytes if rule and rule.fault == "big" else script.answer)
    usage = billed(request, message, script) if script.usage == "told" else script.usage
    odd = ODDITIES[rule.oddity] if rule and rule.fault == "odd" else None
    if request.get("stream"):
        pieces = chunks(request, message, usage, script)
        if odd:
            return odd.streamed(pieces), odd.content_type or "text/event-stream", 200
        return framed(pieces, done=script.ending in ("whole", "done")), "text/event-stream", 200
    whole = completion(request, message, usage, script)
    return (
        [odd.whole(whole) if odd else json.dumps(whole).encode()],
        (odd and odd.content_type) or "application/json",
        200,
    )


def billed(request: Json, message: Json, script: Script) -> dict[str, int]:
    """What the model takes for this answer, whatever it says of it."""
    prompt, completion = script.prompt_tokens, script.completion_tokens
    if script.by_characters:
        asked = [text_of(one.get("content")) + _calls(one) for one in request.get("messages") or []]
        offered = [json.dumps(tool["function"]) for tool in request.get("tools") or []]
        prompt = max(1, len("".join(asked + offered)) // 4)
        completion = max(1, len((message.get("content") or "") + _calls(message)) // 4)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _calls(message: Json) -> str:
    return "".join(json.dumps(call["function"]) for call in message.get("tool_calls") or [])


def rates(query: dict[str, list[str]]) -> bytes:
    base = query.get("base", ["EUR"])[0]
    wanted = ",".join(query.get("symbols", [])).split(",")
    return json.dumps({"base": base, "rates": {s: RATES[s] / RATES[base] for s in wanted if s in RATES}}).encode()


def text_of(content: object) -> str:
    """The text of a message, whose content may be a string or a list of parts."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def place_in_run(request: Json) -> tuple[str, int]:
    """The user's last question, and the number of the model's earlier answers."""
    messages = request.get("messages") or []
    asked = [text_of(message.get("content")) for message in messages if message.get("role") == "user"]
    return (asked or [""])[-1], sum(message.get("role") == "assistant" for message in messages)


def message_for(request: Json, answer: str | None) -> Json:
    """The assistant's message: a tool call, the tool's result, the scripted answer, or an echo."""
    messages = request.get("messages") or [{}]
    last = messages[-1]
    offered = {tool["function"]["name"] for tool in request.get("tools") or []}
    if last.get("role") == "tool":
        return {"role": "assistant", "content": f"The tool said: {text_of(last.get('content'))}"}
    text = text_of(last.get("content"))
    wanted = CALL.search(text) if last.get("role") == "user" else None
    if wanted and wanted[1] in offered:
        call = {"name": wanted[1], "arguments": wanted[2]}
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
        }
    return {"role": "assistant", "content": f"You said: {text}" if answer is None else answer}


def completion(request: Json, message: Json, usage: Json | None, script: Script) -> Json:
    """A whole `chat.completion`."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": request.get("model"),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(message, script)}],
    }
    return body if usage is None else {**body, "usage": usage}


def chunks(request: Json, message: Json, usage: Json | None, script: Script) -> list[Json]:
    """The same answer as `chat.completion.chunk` objects, one word each."""
    base = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": request.get("model"),
    }
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    if message.get("tool_calls"):
        deltas.append({"tool_calls": [{"index": 0, **call} for call in message["tool_calls"]]})
    else:
        deltas += [{"content": word} for word in re.findall(r"\S+\s*|\s+", message["content"])]
    pieces = [{**base, "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    if script.ending in ("whole", "reason"):
        pieces.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": _reason(message, script)}]})
    asked_for = (request.get("stream_options") or {}).get("include_usage")
    if asked_for and usage is not None and script.ending in ("whole", "done"):
        pieces = [{**piece, "usage": None} for piece in pieces]
        pieces.append({**base, "choices": [], "usage": usage})
    if script.usage_each:
        pieces = [{**piece, "usage": usage} for piece in pieces]
    return pieces


def _reason(message: Json, script: Script) -> str:
    return "tool_calls" if message.get("tool_calls") else script.finish_reason
