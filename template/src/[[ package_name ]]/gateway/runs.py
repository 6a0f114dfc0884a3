"""`POST /v1/runs`: one task, answered whole or as server-sent events."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.sse import format_sse_event
from pydantic import AfterValidator, BaseModel, Field, FiniteFloat

from ..errors import ServiceError
from ..task import RunResult, Task
from .auth import Caller
from .problems import STREAMED_RESPONSES, body_of
from .work import Key, headers_of, streamed, unless_gone, work_of

router = APIRouter()


def _unicode(text: str) -> str:
    text.encode()  # half a surrogate pair raises a UnicodeEncodeError, which is a ValueError
    return text


MetadataValue = Annotated[str, Field(max_length=256), AfterValidator(_unicode)] | int | FiniteFloat | bool | None


class RunRequest(BaseModel, extra="forbid", strict=True):
    """A task for the agent."""

    input: str = Field(min_length=1, description="what is asked, in plain text")
    conversation_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="an id of your choice; used again, it continues the conversation",
    )
    metadata: dict[Annotated[str, Field(max_length=64), AfterValidator(_unicode)], MetadataValue] | None = Field(
        None, max_length=16, description="comes back in the service's log line for this run"
    )
    stream: bool = Field(False, description="server-sent events `delta`, `done`, `error` in place of one answer")


@router.post("/v1/runs", response_model=RunResult, responses=STREAMED_RESPONSES)
async def run(request: Request, body: RunRequest, key: Key = None) -> Response:
    """Runs the agent on `input`."""
    caller: Caller = request.state.caller
    task = Task(
        input=body.input,
        tenant=caller.tenant,
        actor=caller.key,
        conversation_id=body.conversation_id,
        metadata=body.metadata or {},
    )
    work = await work_of(request, task, key)
    if body.stream:
        return await streamed(request, work, key, _events)
    result, replayed = await unless_gone(request, work(None))
    return Response(result.model_dump_json(), 200, headers_of(request, key, replayed=replayed), "application/json")


async def _events(items: AsyncIterator[str | RunResult]) -> AsyncGenerator[bytes]:
    try:
        async for item in items:
            if isinstance(item, RunResult):
                yield format_sse_event(event="done", data_str=item.model_dump_json())
            else:
                yield format_sse_event(event="delta", data_str=json.dumps({"text": item}))
    except ServiceError as error:
        yield format_sse_event(event="error", data_str=json.dumps(body_of(error)))
