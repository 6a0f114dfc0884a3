"""`POST /v1/chat/completions`: the OpenAI API, so that any OpenAI client works. The agent stands in for the model."""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import JsonValue

from .. import NAME
from ..errors import ModelNotFound, ServiceError
from ..runs.result import RunResult
from ..service import Service
from .chat_request import ChatRequest
from .events import SILENCE
from .openai_errors import body_of
from .openapi import good, openai_errors
from .work import Key, Piece, Work, streamed, unless_gone

router = APIRouter()

CHAT_RESPONSES = openai_errors() | good("Idempotency-Replayed", "Idempotency-Scope", streamed=True)


@router.post("/v1/chat/completions", responses=CHAT_RESPONSES)
async def complete(request: Request, body: ChatRequest, key: Key = None) -> Response:
    """Runs the agent on the last message, with the others as its history."""
    service: Service = request.app.state.service
    max_chars = service.settings.run.max_input_chars
    work = await Work.of(request, body.task(request.state.caller, max_chars), key)
    if body.stream:
        return await streamed(request, work, lambda items: _chunks(items, _model(service), usage=body.wants_usage))
    result = await unless_gone(request, work, work.done())
    message = {"role": "assistant", "content": result.output, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": result.finish_reason, "logprobs": None}
    answer = {
        "id": f"chatcmpl-{result.id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": _model(service),
        "choices": [choice],
        "usage": _usage(result),
    }
    return Response(json.dumps(answer), 200, work.headers, "application/json")


@router.get("/v1/models", responses=openai_errors() | good())
async def models(request: Request) -> dict[str, JsonValue]:
    """The one model that there is: the agent."""
    return {"object": "list", "data": [_described(_model(request.app.state.service))]}


@router.get("/v1/models/{name:path}", responses=openai_errors(404) | good())
async def model(request: Request, name: str) -> dict[str, JsonValue]:
    """The model, if this is its name."""
    if name != (known := _model(request.app.state.service)):
        raise ModelNotFound(f"There is no model of this name; the one model is {known}.", param="model")
    return _described(known)


def _model(service: Service) -> str:
    """The name of the primary model, as its provider has it. It stands for the agent, whichever model answers."""
    provider, _, name = service.settings.model.primary.partition(":")
    return name or provider


def _described(name: str) -> dict[str, JsonValue]:
    return {"id": name, "object": "model", "created": 0, "owned_by": NAME}


async def _chunks(items: AsyncIterator[Piece], model: str, *, usage: bool) -> AsyncGenerator[bytes]:
    frame: dict[str, Any] = {
        "id": f"chatcmpl-{time.time_ns():x}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
    }

    def chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
        return _data({**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})

    yield chunk({"role": "assistant", "content": ""})
    try:
        async for item in items:
            if item is None:
                yield SILENCE
            elif isinstance(item, RunResult):
                yield chunk({}, item.finish_reason)
                if usage:
                    yield _data({**frame, "choices": [], "usage": _usage(item)})
            else:
                yield chunk({"content": item})
        yield b"data: [DONE]\n\n"
    except ServiceError as error:
        yield _data(body_of(error))


def _usage(result: RunResult) -> dict[str, int | bool]:
    used = result.usage
    return {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.input_tokens + used.output_tokens,
        **({"estimated": True} if used.estimated else {}),
    }


def _data(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
