"""The handler of requests: HTTP from API Gateway, a function URL or a load balancer, and direct invocation."""

from . import preload  # noqa: F401

# isort: split
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mangum.types import ASGI

from ..api.auth import tell_if_open
from ..config.secrets import Secrets
from ..gateway.app import create_app
from ..service import Service
from . import direct
from .http import is_http, respond
from .sandbox import Context, Sandbox


@dataclass(frozen=True)
class Door:
    """The application, and the service behind it."""

    app: ASGI
    service: Service


@asynccontextmanager
async def opened(secrets: Secrets) -> AsyncGenerator[Door]:
    tell_if_open(secrets.settings)
    app = create_app(secrets)
    async with app.router.lifespan_context(app):
        yield Door(app, app.state.service)


sandbox = Sandbox(opened)


def handler(event: Any, context: Context) -> dict[str, Any]:
    """Called by Lambda."""
    with sandbox.invocation(context) as door:
        if is_http(event):
            return sandbox.run(respond(door.app, event, context))
        return sandbox.run(direct.answer(door.service, event, context))
