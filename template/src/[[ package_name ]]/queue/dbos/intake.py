"""Tasks that come in by a broker: a task is stored, then its message is acknowledged. A long task holds no message.

While a task cannot be stored, its message is held and not acknowledged, until the worker stops: nothing is lost. A
message that can never be a task goes to the dead letters of its place. The same message twice is one task.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import structlog
from opentelemetry import context, metrics, propagate
from pydantic import ValidationError

from ...errors import InvalidInput, ServiceError
from ...guard.outbound import Unavailable
from .. import patience
from ..records import TaskRequest
from .broker import Broker, HandedBack, Message
from .tasks import Tasks

log = structlog.get_logger(__name__)
T = TypeVar("T")

_MESSAGES = metrics.get_meter("service").create_counter(
    "queue.intake", "", "Messages of the broker that were dealt with, by outcome"
)
ACTOR = "broker"
DEFAULT_TENANT = "local"  # as with the `submit` command: no other tenant's budget, tasks or conversations are touched
_PAUSE_SECONDS = 2.0
_TENANT = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Intake:
    """Consumes one place of the broker, between `start` and `stop`.

    Args:
        place: its name; without one nothing comes in. A sender that may write there may use every tenant's budget.
    """

    def __init__(self, place: str | None, broker: Broker, tasks: Tasks) -> None:
        self._place = place or ""
        self._broker = broker
        self._tasks = tasks
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._place:
            self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Takes nothing more; held messages go back to the broker."""
        self._stopping.set()
        if self._running:
            await self._running

    async def _run(self) -> None:
        """Consumes, and waits for a broker that is away."""
        while not self._stopping.is_set():
            try:
                await self._broker.consume(self._place, self._take)
                log.info("intake_open", place=self._place)
                while self._broker.consuming and not self._stopping.is_set():
                    await self._pause(0.5)
            except Exception as failure:  # noqa: BLE001  every failure is tried again
                log.warning("intake_closed", place=self._place, error=type(failure).__name__)
                await self._pause(_PAUSE_SECONDS)
            finally:
                await self._broker.aclose()

    async def _take(self, message: Message) -> None:
        """Returns when the message may be acknowledged."""
        headers = {name: str(value) for name, value in message.headers.items()}
        attached = context.attach(propagate.extract(headers))
        try:
            tenant = headers.get("tenant", DEFAULT_TENANT)
            request = _read(message, tenant)
            _, earlier = await self._once_it_can(lambda: self._tasks.submit(request, tenant=tenant, actor=ACTOR))
            _MESSAGES.add(1, {"outcome": "known" if earlier else "stored"})
        except HandedBack:
            raise
        except ServiceError as error:
            await self._bury(message, error.slug)
        except Exception as error:  # noqa: BLE001  the message must not come back for ever
            log.error("intake_failed", error=type(error).__name__)
            await self._bury(message, "internal")
        finally:
            context.detach(attached)

    async def _bury(self, message: Message, reason: str) -> None:
        await self._once_it_can(lambda: self._broker.bury(self._place, message, reason))
        _MESSAGES.add(1, {"outcome": "dead"})
        log.warning("intake_dead_letter", place=self._place, message_id=message.id, reason=reason)

    async def _once_it_can(self, act: Callable[[], Awaitable[T]]) -> T:
        while not self._stopping.is_set():
            try:
                return await act()
            except (ServiceError, Unavailable) as error:
                if isinstance(error, ServiceError) and not patience.worth_another(error):
                    raise
                log.warning("intake_waits", place=self._place, error=type(error).__name__)
                await self._pause(_PAUSE_SECONDS)
        raise HandedBack

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def _read(message: Message, tenant: str) -> TaskRequest:
    """The task in a message. Its id is the body's, else the message's: without one, a message that comes twice would be
    two tasks.

    Raises:
        InvalidInput: the message is no task.
    """
    if not _TENANT.fullmatch(tenant):
        raise InvalidInput("The header `tenant` is no tenant's name.")
    try:
        request = TaskRequest.model_validate_json(message.body)
        if request.id is None:
            request = TaskRequest.model_validate({**request.model_dump(), "id": message.id})
    except ValidationError as error:
        raise InvalidInput("The body is not a task as POST /v1/tasks takes it.") from error
    if request.id is None:
        raise InvalidInput("Neither the body nor the message has an id.")
    return request
