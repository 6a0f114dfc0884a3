"""From an event of API Gateway (v1, v2), a function URL or a load balancer to an ASGI application, and back."""

import json
import logging
from typing import Any

import structlog
from mangum import Mangum
from mangum.protocols import HTTPCycle
from mangum.types import ASGI

from ..api.problems import MEDIA_TYPE, body_of
from ..errors import Unsupported
from .sandbox import Context

log = structlog.get_logger(__name__)
logging.getLogger("mangum").setLevel("WARNING")  # the application logs each request itself

_TEXTS = ["text/", "application/json", MEDIA_TYPE]  # other media types are sent in base 64


def is_http(event: object) -> bool:
    """True for a request over HTTP; any other event is a direct invocation."""
    return isinstance(event, dict) and "requestContext" in event


async def respond(app: ASGI, event: dict[str, Any], context: Context) -> dict[str, Any]:
    """The response in the form that the event's sender expects. A streamed answer is returned whole."""
    try:
        base = _base_path(event)
        mangum = Mangum(app, lifespan="off", text_mime_types=_TEXTS, api_gateway_base_path=base)
        handler = mangum.infer(event, context)  # type: ignore[arg-type]
        scope, body = handler.scope, handler.body
    except Exception as error:  # noqa: BLE001 Mangum raises many kinds for a malformed event
        log.warning("malformed_event", error=type(error).__name__)
        return _refused(Unsupported("The event is not one of API Gateway, a function URL or a load balancer."))
    scope["state"] = {}
    scope["http_version"] = "2"  # Mangum says 1.1, which needs a Host header; an event may have none
    cycle = HTTPCycle(scope, body)
    await cycle.run(app)
    headers = [[name, base.encode() + value if name == b"location" else value] for name, value in cycle.headers]
    return handler({"status": cycle.status, "headers": headers, "body": cycle.body})


def _base_path(event: dict[str, Any]) -> str:
    """What stands in the path before the service's own: a named stage, or the base path of a domain; often nothing.

    API Gateway names the route that matched, such as `ANY /v1/{proxy+}`, without that part.
    """
    path = str(event["path"] if "path" in event else event["requestContext"]["http"]["path"])
    own = "/" + str(event.get("routeKey") or event.get("resource") or "").partition("/")[2]
    for name, value in (event.get("pathParameters") or {}).items():
        own = own.replace(f"{{{name}+}}", value).replace(f"{{{name}}}", value)
    if own != "/" and path.endswith(own):
        return path.removesuffix(own)
    stage = f"/{event['requestContext'].get('stage')}"  # of an HTTP API; a REST API leaves it out
    return stage if path.startswith(f"{stage}/") and "version" in event else ""


def _refused(error: Unsupported) -> dict[str, Any]:
    return {
        "statusCode": error.status,
        "headers": {"content-type": MEDIA_TYPE},
        "body": json.dumps(body_of(error)),
        "isBase64Encoded": False,
    }
