"""`/v1/tasks`: durable tasks, stored here, done by workers."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.sse import format_sse_event

from ..api.auth import Caller
from ..errors import InvalidInput
from ..queue import Tasks
from ..queue.records import Page, Status, TaskId, TaskRequest, TaskView
from ..service import Service
from .events import SILENCE, EventStream
from .problems import RESPONSES

router = APIRouter(prefix="/v1/tasks", responses=RESPONSES)

Key = Annotated[
    TaskId | None, Header(alias="Idempotency-Key", description="becomes the task's id; submitted twice, it is one task")
]

_LOOK_SECONDS = 0.5


@router.post("", status_code=202, response_model=TaskView)
async def submit(request: Request, body: TaskRequest, key: Key = None) -> Response:
    """Stores a task and answers at once; `Location` is where its state can be read."""
    if key and body.id and key != body.id:
        raise InvalidInput("The Idempotency-Key and the id differ; send one of them.")
    caller: Caller = request.state.caller
    asked = body.model_copy(update={"id": key or body.id})
    view, earlier = await _tasks(request).submit(asked, tenant=caller.tenant, actor=caller.key)
    headers = {"Location": f"/v1/tasks/{view.id}"} | ({"Idempotency-Replayed": "true"} if earlier else {})
    return Response(view.model_dump_json(), 202, headers, "application/json")


@router.get("")
async def tasks(
    request: Request,
    status: Status | None = None,
    cursor: Annotated[str | None, Query(max_length=32)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> Page:
    """The caller's tasks, newest first."""
    caller: Caller = request.state.caller
    return await _tasks(request).page(tenant=caller.tenant, status=status, cursor=cursor, limit=limit)


@router.get("/{task_id}")
async def task(request: Request, task_id: TaskId) -> TaskView:
    """How a task stands, with its answer once it has one."""
    caller: Caller = request.state.caller
    return await _tasks(request).get(task_id, tenant=caller.tenant)


@router.delete("/{task_id}")
async def cancel(request: Request, task_id: TaskId) -> TaskView:
    """Ends a task; 409 when it has ended already."""
    caller: Caller = request.state.caller
    return await _tasks(request).cancel(task_id, tenant=caller.tenant, actor=caller.key)


@router.get("/{task_id}/events")
async def events(request: Request, task_id: TaskId) -> EventStream:
    """Server-sent events: one `status` for each change, the last one with the answer or the error."""
    caller: Caller = request.state.caller
    known = _tasks(request)
    first = await known.get(task_id, tenant=caller.tenant)
    service: Service = request.app.state.service
    silence_seconds = service.settings.stream.comment_seconds

    async def changes() -> AsyncGenerator[bytes]:
        view, told, quiet = first, None, 0.0
        while not service.health.draining:
            if (shown := view.model_dump_json()) != told:
                told, quiet = shown, 0.0
                yield format_sse_event(event="status", data_str=shown)
            if view.status.final:
                return
            if quiet >= silence_seconds:
                quiet = 0.0
                yield SILENCE
            await asyncio.sleep(_LOOK_SECONDS)
            quiet += _LOOK_SECONDS
            view = await known.get(task_id, tenant=caller.tenant)

    return EventStream(changes())


def _tasks(request: Request) -> Tasks:
    tasks: Tasks = request.app.state.tasks
    return tasks
