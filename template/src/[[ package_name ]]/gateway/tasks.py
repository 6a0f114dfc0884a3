"""`/v1/tasks`: durable tasks, stored here, done by workers."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from ..api.auth import Caller
from ..errors import InvalidInput
from ..queue import Tasks
from ..queue.records import Page, Status, TaskId, TaskRequest, TaskView
from .events import EventStream
from .openapi import good, problems
from .watchers import Watchers

router = APIRouter(prefix="/v1/tasks", responses=problems())

Key = Annotated[
    TaskId | None, Header(alias="Idempotency-Key", description="becomes the task's id; submitted twice, it is one task")
]


@router.post(
    "", status_code=202, response_model=TaskView, responses=good("Location", "Idempotency-Replayed", status=202)
)
async def submit(request: Request, body: TaskRequest, key: Key = None) -> Response:
    """Stores a task and answers at once; `Location` is where its state can be read."""
    if key and body.id and key != body.id:
        raise InvalidInput("The Idempotency-Key and the id differ; send one of them.")
    caller: Caller = request.state.caller
    asked = body.model_copy(update={"id": key or body.id})
    view, earlier = await _tasks(request).submit(asked, tenant=caller.tenant, actor=caller.key)
    headers = {"Location": f"/v1/tasks/{view.id}"} | ({"Idempotency-Replayed": "true"} if earlier else {})
    return Response(view.model_dump_json(), 202, headers, "application/json")


@router.get("", responses=good())
async def tasks(
    request: Request,
    status: Status | None = None,
    cursor: Annotated[str | None, Query(max_length=32)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> Page:
    """The caller's tasks, newest first, without their answers."""
    caller: Caller = request.state.caller
    return await _tasks(request).page(tenant=caller.tenant, status=status, cursor=cursor, limit=limit)


@router.get("/{task_id}", responses=problems(404) | good())
async def task(request: Request, task_id: TaskId) -> TaskView:
    """How a task stands, with its answer once it has one."""
    caller: Caller = request.state.caller
    return await _tasks(request).get(task_id, tenant=caller.tenant)


@router.delete("/{task_id}", responses=problems(404) | good())
async def cancel(request: Request, task_id: TaskId) -> TaskView:
    """Ends a task; 409 when it has ended already."""
    caller: Caller = request.state.caller
    return await _tasks(request).cancel(task_id, tenant=caller.tenant, actor=caller.key)


@router.get("/{task_id}/events", response_class=StreamingResponse, responses=problems(404) | good(streamed=True))
async def events(request: Request, task_id: TaskId) -> EventStream:
    """Server-sent events: one `status` for each change, the last one with the answer or the error.

    A stream ends after LIMITS__WATCH_SECONDS, and when its key is no longer valid.
    """
    caller: Caller = request.state.caller
    first = await _tasks(request).get(task_id, tenant=caller.tenant)
    watchers: Watchers = request.app.state.watchers
    request.state.places.close()  # it waits from now on
    request.state.places.enter_context(watchers.places.taken(caller.tenant))
    told = watchers.events(first, caller, request.headers.get("authorization", ""))
    return EventStream(told, told.aclose)


def _tasks(request: Request) -> Tasks:
    tasks: Tasks = request.app.state.tasks
    return tasks
