"""What happens to tasks, told to others: CloudEvents 1.0, signed as Standard Webhooks, delivered by a workflow each.

An event is stored in the same transaction as what it tells of, or under an id that makes its repetition harmless; it
is delivered at least once. Receivers tell repetitions by the id.
"""

import base64
import hashlib
import hmac
import time
from datetime import UTC, datetime
from typing import Any

import structlog
from dbos import DBOS, DBOSClient, EnqueueOptions
from pydantic import BaseModel

from .. import NAME
from ..outbound import Outbound, Unavailable
from ..settings import EventSettings
from .records import Failure, Spec, public_id

log = structlog.get_logger(__name__)

QUEUE = "events"
WORKFLOW = "event"
_ATTEMPTS = 12  # the last one about a day after the first
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 4 * 3600.0


class CloudEvent(BaseModel):
    """CloudEvents 1.0 in the JSON format."""

    specversion: str = "1.0"
    id: str
    source: str = f"/{NAME}"
    type: str
    subject: str
    time: datetime
    datacontenttype: str = "application/json"
    data: dict[str, Any]


def event_of(name: str, workflow_id: str, spec: Spec, error: Failure | None = None) -> CloudEvent:
    """`name` is accepted, started, completed, failed or dead. The answer is not in it: that is fetched by the id."""
    task_id = public_id(workflow_id)
    data = {"id": task_id, "tenant": spec.tenant, "metadata": spec.request.metadata or {}}
    return CloudEvent(
        id=f"{workflow_id}/{name}",
        type=f"{NAME}.task.{name}",
        subject=task_id,
        time=datetime.now(UTC),
        data=data | ({"error": error.model_dump()} if error else {}),
    )


def options_of(event: CloudEvent) -> EnqueueOptions:
    """Stored twice it is one event."""
    return {"workflow_name": WORKFLOW, "queue_name": QUEUE, "workflow_id": f"event/{event.id}"}


class Events:
    """Stores events for delivery; does nothing while nobody is to be told."""

    def __init__(self, settings: EventSettings, client: DBOSClient) -> None:
        self._settings = settings
        self._client = client

    @property
    def wanted(self) -> bool:
        return self._settings.webhook_url is not None

    async def tell(self, event: CloudEvent) -> None:
        """Stores an event; one that is stored already stays as it is."""
        if self.wanted:
            await self._client.enqueue_async(options_of(event), event.model_dump_json(), 1)

    async def again(self, event: CloudEvent, attempt: int) -> None:
        """Stores an event for a later attempt: waiting in the database costs no worker anything."""
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 3 ** (attempt - 2))
        options: EnqueueOptions = {**options_of(event), "delay_seconds": pause}
        options["workflow_id"] = f"{options['workflow_id']}/{attempt}"
        await self._client.enqueue_async(options, event.model_dump_json(), attempt)


class Delivery:
    """Delivers events to the webhook, as long as it takes."""

    def __init__(self, settings: EventSettings, outbound: Outbound, events: Events) -> None:
        self._settings = settings
        self._outbound = outbound
        self._events = events

    def register(self) -> None:
        """Makes it known to DBOS, under a name that stays."""

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
        async def event(body: str, attempt: int) -> None:
            await self.run(CloudEvent.model_validate_json(body), attempt)

    async def run(self, event: CloudEvent, attempt: int) -> None:
        try:
            await self._post(event)
        except Unavailable as failure:
            if attempt == _ATTEMPTS:
                log.error("event_given_up", event_id=event.id, error=str(failure))
                return
            log.warning("event_not_delivered", attempt=attempt, event_id=event.id, error=str(failure))
            await self._events.again(event, attempt + 1)

    async def _post(self, event: CloudEvent) -> None:
        body = event.model_dump_json()
        headers = {"content-type": "application/cloudevents+json"}
        if self._settings.webhook_secret:
            headers |= signature(event.id, int(time.time()), body, self._settings.webhook_secret.get_secret_value())
        await self._outbound.post("webhook", str(self._settings.webhook_url), body.encode(), headers)


def signature(event_id: str, now: int, body: str, secret: str) -> dict[str, str]:
    """The headers of Standard Webhooks (standardwebhooks.com); `whsec_…` is its base64 form of a secret."""
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    digest = hmac.new(key, f"{event_id}.{now}.{body}".encode(), hashlib.sha256).digest()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
