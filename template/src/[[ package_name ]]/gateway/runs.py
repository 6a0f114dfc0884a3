"""`POST /v1/runs`: one task, answered whole or as server-sent events."""

import json
from collections.abc import AsyncGenerator, AsyncIterator

from fastapi import APIRouter, Request, Response
from fastapi.sse import format_sse_event
from pydantic import Field

from ..api.problems import body_of
from ..api.requests import RunRequest
from ..errors import ServiceError
from ..runs.result import RunResult
from .events import SILENCE
from .openapi import good, problems
from .work import Key, Piece, Work, streamed, unless_gone

router = APIRouter()

RUN_RESPONSE = good("Idempotency-Replayed", "Idempotency-Scope", streamed=True)


class StreamableRunRequest(RunRequest):
    """A task for the agent, whose answer may come in pieces."""

    stream: bool = Field(False, description="server-sent events `delta`, `done`, `error` in place of one answer")


@router.post("/v1/runs", response_model=RunResult, responses=problems() | RUN_RESPONSE)
async def run(request: Request, body: StreamableRunRequest, key: Key = None) -> Response:
    """Runs the agent on `input`."""
    work = await Work.of(request, body.task(request.state.caller), key)
    if body.stream:
        return await streamed(request, work, _events)
    result = await unless_gone(request, work, work.done())
    return Response(result.model_dump_json(), 200, work.headers, "application/json")


async def _events(items: AsyncIterator[Piece]) -> AsyncGenerator[bytes]:
    try:
        async for item in items:
            if item is None:
                yield SILENCE
            elif isinstance(item, RunResult):
                yield format_sse_event(event="done", data_str=item.model_dump_json())
            else:
                yield format_sse_event(event="delta", data_str=json.dumps({"text": item}))
    except ServiceError as error:
        yield format_sse_event(event="error", data_str=json.dumps(body_of(error)))
