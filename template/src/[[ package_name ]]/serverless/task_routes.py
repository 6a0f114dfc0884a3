"""`/v1/tasks` where there is no gateway."""

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from ..errors import InvalidInput
from ..queue.records import Status, TaskId, TaskQueue, TaskRequest
from .exchange import Answer, Handler, Request, misfit

_TASK_ID = TypeAdapter(TaskId)


class PageRequest(BaseModel, extra="forbid"):
    """Which tasks are asked for."""

    status: Status | None = None
    cursor: str | None = Field(None, max_length=32)
    limit: int = Field(50, ge=1, le=100)


def routes_of(tasks: TaskQueue) -> dict[tuple[str, str], Handler]:
    """The routes of these tasks; a `*` stands for an id."""

    async def submit(request: Request) -> Answer:
        asked = request.parsed(TaskRequest)
        key = request.headers.get("idempotency-key")
        if key and asked.id and key != asked.id:
            raise InvalidInput("The Idempotency-Key and the id differ; send one of them.")
        asked = asked.model_copy(update={"id": _valid_id(key) if key else asked.id})
        view, earlier = await tasks.submit(asked, tenant=request.caller.tenant, actor=request.caller.key)
        headers = {"Location": f"/v1/tasks/{view.id}"} | ({"Idempotency-Replayed": "true"} if earlier else {})
        return Answer(view.model_dump_json(), 202, headers)

    async def page(request: Request) -> Answer:
        try:
            asked = PageRequest.model_validate(request.query)
        except ValidationError as error:
            raise misfit(error) from None
        found = await tasks.page(
            tenant=request.caller.tenant, status=asked.status, cursor=asked.cursor, limit=asked.limit
        )
        return Answer(found.model_dump_json())

    async def get(request: Request) -> Answer:
        return Answer((await tasks.get(_valid_id(request.part), tenant=request.caller.tenant)).model_dump_json())

    async def cancel(request: Request) -> Answer:
        caller = request.caller
        view = await tasks.cancel(_valid_id(request.part), tenant=caller.tenant, actor=caller.key)
        return Answer(view.model_dump_json())

    return {
        ("POST", "/v1/tasks"): submit,
        ("GET", "/v1/tasks"): page,
        ("GET", "/v1/tasks/*"): get,
        ("DELETE", "/v1/tasks/*"): cancel,
    }


def _valid_id(text: str) -> str:
    try:
        return _TASK_ID.validate_python(text)
    except ValidationError as error:
        raise misfit(error) from None
