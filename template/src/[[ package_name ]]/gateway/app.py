"""The HTTP application: what it is made of, nothing else."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from .. import NAME, __version__
from ..health import Health
from ..secrets import Secrets
from ..service import open_service
from . import chat, problems, runs
from .middleware import Admission


def create_app(secrets: Secrets) -> FastAPI:
    """The application; it opens the service when it starts and closes it when it ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with open_service(secrets) as service:
            app.state.service = service
            yield

    app = FastAPI(
        title=NAME,
        version=__version__,
        lifespan=lifespan,
        telemetry={
            "operation_spans": False,
            "logs": False,
            "exclude": lambda scope: not scope["path"].startswith("/v1/"),
        },
        docs_url="/docs" if secrets.settings.environment == "development" else None,
        redoc_url=None,
    )
    app.add_middleware(Admission)
    problems.install(app)
    # Admission has checked the key before the body was read; this says so in the OpenAPI document.
    bearer = Depends(HTTPBearer(auto_error=False, description="an API key of this service"))
    app.include_router(runs.router, dependencies=[bearer])
    app.include_router(chat.router, dependencies=[bearer])
    app.include_router(_operations())
    return app


def _operations() -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/livez")
    async def livez() -> dict[str, str]:
        """The process runs; if this fails, restart it."""
        return {"status": "ok"}

    @router.get("/startupz")
    async def startupz(request: Request) -> JSONResponse:
        """Start-up is over: the state store was reached."""
        health: Health = request.app.state.service.health
        return JSONResponse({"started": health.started}, 200 if health.started else 503)

    @router.get("/readyz")
    async def readyz(request: Request) -> JSONResponse:
        """Work may be sent here; not so while starting and while draining."""
        ready, report = await request.app.state.service.health.ready()
        return JSONResponse(report, 200 if ready else 503)

    @router.get("/metrics")
    def metrics() -> Response:
        """Prometheus exposition."""
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return router
