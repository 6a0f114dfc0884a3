"""The provider's batch API: a model whose requests go there, each call behind a guard.

pydantic-ai's `BatchModelRequests` uses it: it encodes requests, gathers them into batches and reads the answers.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import cast

import structlog
from pydantic_ai.capabilities import BatchModelRequests
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models.batch import Batch, BatchRequest, BatchResult, EncodedBatchRequest
from pydantic_ai.models.wrapper import WrapperModel

from ....config.queue import QueueSettings
from ....errors import InvalidInput, ServiceError
from ....guard import BulkheadFull, CircuitOpen, Guard
from ....guard.outbound import never_connected
from ....models.failures import transient
from ....models.guarded import GuardedModel
from ....models.routing import Models
from ..patient import patiently

log = structlog.get_logger(__name__)

MAX_REQUESTS = 100  # in one batch: their answers come in one file, of which guard/outbound.py reads 8 MiB


class BatchUnconfirmed(ServiceError):
    status, slug, title = 500, "batch-unconfirmed", "The provider may or may not have taken the batch"


class BatchLost(ServiceError):
    status, slug, title = 500, "batch-lost", "The provider's batch gives no answer"


def check_batch_api(models: Models) -> None:
    """Raises:
    InvalidInput: a model that tasks would go to has no batch API.
    """
    for model in models.alone().by_size.values():
        name = cast(GuardedModel, model).name
        if name == "offline" or model.batch_max_requests is None:
            raise InvalidInput(
                f"The model {name} has no batch API: submit the task without urgency, or have the service use one that"
                " has (openai:…, which is not openai-chat:…, anthropic:… or google:…)."
            )


def batched(models: Models, settings: QueueSettings) -> tuple[Models, BatchModelRequests]:
    """The models behind their providers' batch API, and the one capability of a worker that shares batches of tasks."""
    creating = models.guards.get("model_batch", not_taken)
    unused = timedelta(milliseconds=1)  # waiting.py does the looking
    gathering = BatchModelRequests(
        max_requests=MAX_REQUESTS,
        max_wait=timedelta(seconds=settings.batch_gather_seconds),
        poll_interval=unused,
        max_poll_interval=unused,
    )
    wrapped = models.alone().wrapped(lambda model: BatchModel(cast(GuardedModel, model), creating, settings))
    return wrapped, gathering


def not_taken(error: BaseException) -> bool:
    """Whether the provider has certainly not taken a batch: submitting it again does not pay for it twice."""
    if isinstance(error, ModelHTTPError):
        return error.status_code in (429, 503)
    return never_connected(error)


class BatchModel(WrapperModel):
    """A model's batch API, each call behind a guard.

    Args:
        wrapped: its guard stands before the calls that can be repeated.
        creating: the guard of the call that cannot be repeated, as it costs; its transient failures are `not_taken`.
        settings: how patiently a provider that takes no batches now is asked again.
    """

    def __init__(self, wrapped: GuardedModel, creating: Guard, settings: QueueSettings) -> None:
        super().__init__(wrapped)
        self.guarded = wrapped
        self._creating = creating
        self._patience = settings

    async def batch_create(self, requests: Sequence[EncodedBatchRequest]) -> Batch:
        async def create() -> Batch:
            try:
                return await self._creating.call(partial(self.wrapped.batch_create, requests))
            except Exception as error:
                if isinstance(error, CircuitOpen | BulkheadFull) or not_taken(error) or not transient(error):
                    raise
                raise BatchUnconfirmed(
                    "The connection was lost while a batch was submitted: look at the provider's before a retry,"
                    " which submits it again."
                ) from error

        batch = await patiently(create, self._patience)
        log.info("batch_submitted", batch=batch.id, requests=batch.request_count)
        return batch

    async def batch_status(self, batch: Batch) -> Batch:
        return await self.guarded.guarded(partial(self.wrapped.batch_status, batch))

    async def batch_results(self, batch: Batch) -> list[BatchResult]:
        return await self.guarded.guarded(partial(self.wrapped.batch_results, batch))

    async def batch_cancel(self, batch: Batch) -> Batch:
        return await self.guarded.guarded(partial(self.wrapped.batch_cancel, batch))

    def batch_decode(self, result: BatchResult, request: BatchRequest) -> ModelResponse:
        if result.status == "canceled":
            raise BatchLost("The provider's batch was cancelled before it came to this task.")
        return self.guarded.counted(self.wrapped.batch_decode(result, request), request)
