"""`Idempotency-Key`: a repeated request with the same key and body gets the first request's answer, paid for once."""

from collections.abc import Awaitable, Callable

from ..runs.once import Once
from ..runs.result import RunResult
from ..runs.task import Task
from ..service import Service

KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"


async def run_once(
    service: Service,
    task: Task,
    key: str | None,
    fingerprint: str,
    run: Callable[[Task], Awaitable[RunResult]] | None = None,
) -> tuple[RunResult, bool]:
    """The answer to `task`, and whether an earlier request with the same key got it first.

    Args:
        key: the idempotency key; without one, the task always runs.
        fingerprint: of the request, so that one key cannot stand for two requests.
        run: runs the task; the service's runner by default.

    Raises:
        ServiceError: the runner's; Conflict if the key belongs to another request or to one that is still running.
    """
    run = run or service.runner.run
    if key is None:
        return await run(task), False

    async def first() -> str:
        return (await run(task)).model_dump_json()

    answer, earlier = await Once(service.state, "idempotency:").do(
        f"{task.tenant}:{key}",
        fingerprint,
        service.settings.cache.idempotency_seconds,
        first,
        patience=service.settings.run.deadline_seconds,
    )
    return RunResult.model_validate_json(answer), earlier


def headers_for(service: Service, key: str | None, *, replayed: bool) -> dict[str, str]:
    """The response headers that tell whether an answer is a replay, and whether all replicas know the key."""
    if key is None:
        return {}
    headers = {"Idempotency-Replayed": "true"} if replayed else {}
    if not service.state.shared:
        headers["Idempotency-Scope"] = "process"  # no shared state store: other replicas do not know this key
    return headers
