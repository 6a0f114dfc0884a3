"""`Idempotency-Key`: a request repeated with the same key and body gets the first one's answer, which is paid once."""

from ..runs.once import Once
from ..runs.task import Emit, RunResult, Task
from ..service import Service

KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"


async def run_once(
    service: Service, task: Task, key: str | None, fingerprint: str, emit: Emit | None = None
) -> tuple[RunResult, bool]:
    """The answer to `task`, and whether it is the one that an earlier request with its key got.

    Args:
        key: without one, the task is run.
        fingerprint: of the request, so that a key is not used for another one.

    Raises:
        ServiceError: as the runner does; a Conflict where the key belongs to another request, or is still running.
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
    """What an idempotent request is told: whether this is an earlier answer, and how far the promise reaches."""
    if key is None:
        return {}
    headers = {"Idempotency-Replayed": "true"} if replayed else {}
    if not service.state.shared:
        headers["Idempotency-Scope"] = "process"  # the state store is away: other replicas do not know this key
    return headers
