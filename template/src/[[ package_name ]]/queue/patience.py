"""Patience with models: a durable task waits out what a request would be refused for."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from ..config.settings import QueueSettings
from ..errors import ServiceError
from ..guard import time_remaining
from ..runs.failures import translated

log = structlog.get_logger(__name__)
T = TypeVar("T")


class PatientModel(WrapperModel):
    """A model whose calls are repeated with growing pauses, after the guard's own few quick attempts.

    It stands inside the step that is recorded: what a task has heard from a model before stays as it is, only the
    call that failed is repeated. Permanent failures are not.
    """

    def __init__(self, wrapped: Model, settings: QueueSettings) -> None:
        super().__init__(wrapped)
        self._patience = settings

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        request = partial(self.wrapped.request, messages, model_settings, model_request_parameters)
        return await patiently(request, self._patience)


async def patiently(call: Callable[[], Awaitable[T]], settings: QueueSettings) -> T:
    """Awaits `call`, again with growing pauses while it fails for a passing reason and there is time."""
    for attempt in range(1, settings.attempts + 1):
        try:
            return await call()
        except Exception as error:
            known = translated(error, 0)
            seconds = pause(attempt, known.retry_after, settings)
            left = time_remaining()
            if not worth_another(known) or attempt == settings.attempts or (left and left < seconds):
                raise
            log.info("task_waits", attempt=attempt, seconds=round(seconds, 2), error=known.slug)
            await asyncio.sleep(seconds)
    raise AssertionError("unreachable")  # the last attempt returns or raises


def worth_another(error: ServiceError) -> bool:
    """Transient, as far as a task is concerned: the service or what it needs is not there now."""
    return error.status in (503, 504)


def pause(attempt: int, wanted: float | None, settings: QueueSettings) -> float:
    """Seconds before the next attempt: exponential with full jitter, at least what the failure itself asked for."""
    longest = min(settings.retry_max_seconds, settings.retry_seconds * 2 ** (attempt - 1))
    return max(min(wanted or 0.0, settings.retry_max_seconds), random.uniform(longest / 2, longest))  # noqa: S311
