"""Models for tasks: a passing failure is waited out for minutes, and not only for the guard's few quick attempts."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from ...config.queue import QueueSettings
from ...guard import time_remaining
from ...runs.failures import translated
from ..patience import pause, worth_another

log = structlog.get_logger(__name__)
T = TypeVar("T")


class PatientModel(WrapperModel):
    """A model whose calls are repeated with growing pauses, after the guard's own few quick attempts.

    It stands inside the recorded step. So the task keeps earlier answers, and only the failed call is repeated.
    Permanent failures are not repeated.
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
    attempt = 1
    while True:
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
            attempt += 1
