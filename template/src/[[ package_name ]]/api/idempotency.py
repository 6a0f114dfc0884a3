"""`Idempotency-Key`: a repeated request with the same key and body gets the first request's answer, paid for once."""

from ..runs.once import Once
from ..runs.task import Emit, RunResult, Task
from ..service import Service

KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"


async def run_once(
    service: Service, task: Task, key: str | None, fingerprint: str, emit: Emit | None = None
) -> tuple[RunResult, bool]:
    """The answer to `task`, and whether an earlier request with the same key got it first.

    Args:
        key: the idempotency key; without one, the task always runs.
        fingerprint: of the request, so that one key cannot stand for two requests.

    Raises:
        ServiceError: the runner's; Conflict if the key belongs to another request or to one that is still running.
    """
    if key is None:
        return await service.runner.run(task, emit), False

    async def first() -> str:
        return (await service.runner.run(task, emit)).model_dump_json()

    answer, earlier = await Once(service.state, "idempotency:").do(
        f"{task.tenant}:{key}",
        fingerprint,
        service.settings.cache.idempotency_seconds,
        first,
        patience=service.settings.run.deadline_seconds,
    )
    result = RunResult.model_validate_json(answer)
    if earlier and emit:
        await emit(result.output)
    return result, earlier


def headers_for(service: Service, key: str | None, *, replayed: bool) -> dict[str, str]:
    """The response headers that tell whether an answer is a replay, and whether all replicas know the key."""
    if key is None:
        return {}
    headers = {"Idempotency-Replayed": "true"} if replayed else {}
    if not service.state.shared:
        headers["Idempotency-Scope"] = "process"  # no shared state store: other replicas do not know this key
    return headers
