"""`POST /v1/chat/completions`: the OpenAI API, so that any OpenAI client works. The agent stands in for the model."""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, JsonValue
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.settings import ModelSettings

from .. import NAME
from ..api.auth import Caller
from ..errors import InputTooLong, InvalidInput, ServiceError, Unsupported
from ..runs.inputs import visible
from ..runs.task import RunResult, Task
from ..service import Service
from .openai_errors import body_of
from .problems import OPENAI_RESPONSES, STREAMED
from .work import Key, Work, streamed, unless_gone

router = APIRouter()

# What clients send although it is the default, and means nothing here.
_DEFAULTS = {"n": 1, "response_format": {"type": "text"}, "tool_choice": "none"}
# Accepted and without effect here: they tune things that the agent decides, or identify the caller's user.
_IGNORED = {"user", "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls"}


class TextContent(BaseModel, extra="forbid"):
    type: Literal["text"]
    text: str


class Message(BaseModel, extra="ignore"):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextContent]

    @property
    def text(self) -> str:
        return visible(self.content if isinstance(self.content, str) else "".join(part.text for part in self.content))


class StreamOptions(BaseModel, extra="ignore"):
    include_usage: bool = False


class ChatRequest(BaseModel, extra="allow"):
    """What of OpenAI's request has an effect here; `model` may be any name."""

    messages: list[Message] = Field(min_length=1, max_length=1000)
    model: str = Field("agent", max_length=256)
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)

    def task(self, caller: Caller, max_chars: int) -> Task:
        """Raises:
        Unsupported: an option would be ignored that the caller counts on.
        InvalidInput: the last message is not the user's, or all of them are too long.
        """
        unknown = sorted(
            name
            for name, value in (self.model_extra or {}).items()
            if value and name not in _IGNORED and value != _DEFAULTS.get(name)
        )
        if unknown:
            raise Unsupported(
                f"Not supported here: {', '.join(unknown)[:200]}. The agent has its own tools and output.",
                param=unknown[0],
            )
        *earlier, last = self.messages
        if last.role != "user":
            raise InvalidInput("The last message must be the user's.", param="messages")
        if (chars := sum(len(message.text) for message in self.messages)) > max_chars:
            detail = f"The messages have {chars} characters; at most {max_chars} are accepted."
            raise InputTooLong(detail, param="messages")
        wanted: dict[str, Any] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "max_tokens": self.max_completion_tokens or self.max_tokens,
        }
        instructions = "\n\n".join(message.text for message in earlier if message.role in ("system", "developer"))
        return Task(
            input=last.text,
            tenant=caller.tenant,
            actor=caller.key,
            history=tuple(_turn(message) for message in earlier if message.role in ("user", "assistant")),
            instructions=instructions or None,
            model_settings=ModelSettings(**{name: value for name, value in wanted.items() if value is not None}),  # type: ignore[typeddict-item]
        )


def _turn(message: Message) -> ModelMessage:
    if message.role == "user":
        return ModelRequest([UserPromptPart(message.text)])
    return ModelResponse([TextPart(message.text)])


@router.post("/v1/chat/completions", responses=OPENAI_RESPONSES | STREAMED)
async def complete(request: Request, body: ChatRequest, key: Key = None) -> Response:
    """Runs the agent on the last message, with the others as its history."""
    service: Service = request.app.state.service
    max_chars = service.settings.run.max_input_chars
    work = await Work.of(request, body.task(request.state.caller, max_chars), key)
    if body.stream:
        usage = body.stream_options is not None and body.stream_options.include_usage
        return await streamed(request, work, lambda items: _chunks(items, body.model, usage=usage))
    result = await unless_gone(request, work, work.done())
    message = {"role": "assistant", "content": result.output, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": result.finish_reason, "logprobs": None}
    answer = {
        "id": f"chatcmpl-{result.id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": result.model,
        "choices": [choice],
        "usage": _usage(result),
    }
    return Response(json.dumps(answer), 200, work.headers, "application/json")


@router.get("/v1/models", responses={status: OPENAI_RESPONSES[status] for status in (401, 429, 503)})
async def models(request: Request) -> dict[str, JsonValue]:
    """The one model that there is: the agent."""
    service: Service = request.app.state.service
    name = service.settings.model.primary
    return {"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": NAME}]}


async def _chunks(items: AsyncIterator[str | RunResult], model: str, *, usage: bool) -> AsyncGenerator[bytes]:
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
            if isinstance(item, RunResult):
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
