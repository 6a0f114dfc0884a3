"""Checks each request before its body is read: id, key, limits. Plain ASGI, for speed."""

import asyncio
import re
import time
from contextlib import ExitStack
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..api.auth import authenticated
from ..api.limits import Limits
from ..api.problems import SECURITY_HEADERS
from ..api.requests import request_id_of
from ..config.clients import LimitSettings
from ..errors import BodyEncoded, BodyTimeout, BodyTooLarge, Forbidden, Malformed, ServiceError
from ..service import Service
from .operations import check_place
from .problems import response_of

log = structlog.get_logger(__name__)

_HOST = re.compile(r"[\w.:%\[\]-]*", re.ASCII)  # names and addresses with a port; empty is legal
_LOGGED = 200  # characters of a path


class Admission:
    """Gives each request an id and a line in the log; lets work (`/v1/…`) in by key and limits."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._limits: Limits | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        service: Service = scope["app"].state.service
        given = Headers(scope=scope)
        request_id = request_id_of(given.get("x-request-id", ""))
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        response = _Response(send, {**SECURITY_HEADERS, "X-Request-Id": request_id})
        if scope["path"] == "/docs":  # development's page of the API loads its scripts from elsewhere
            del response.headers["Content-Security-Policy"]
        if service.health.draining:
            response.headers["Connection"] = "close"
        started = time.perf_counter()
        try:
            _check_host(given, scope["http_version"])
            check_place(scope, service.secrets.settings)
            if scope["path"].startswith("/v1/"):
                await self._admit(service, given, scope, receive, response)
            else:
                # HEAD is answered like GET; the server leaves out the body.
                method = "GET" if scope["method"] == "HEAD" else scope["method"]
                await self._app({**scope, "method": method}, receive, response.send)
        except ServiceError as error:
            await response_of(error, scope["path"])(scope, receive, response.send)
        except ClientDisconnect:
            log.info("client_gone")  # its run has ended and is accounted for
        except Exception:
            log.exception("request_failed_unexpectedly")
            if response.status is not None:
                raise
            unexpected = ServiceError("An unexpected error; it is in the log under this request id.")
            await response_of(unexpected, scope["path"])(scope, receive, response.send)
        finally:
            if scope["path"].startswith("/v1/"):
                log.info(
                    "request",
                    method=scope["method"],
                    path=quote(scope["path"][:_LOGGED]),  # without control characters
                    status=response.status,
                    duration_seconds=round(time.perf_counter() - started, 4),
                )

    async def _admit(
        self, service: Service, given: Headers, scope: Scope, receive: Receive, response: "_Response"
    ) -> None:
        if self._limits is None:
            self._limits = Limits(service.settings.limits, service.state)
        caller = authenticated(service.secrets.settings, given.get("authorization", ""))
        structlog.contextvars.bind_contextvars(tenant=caller.tenant, key=caller.key)
        if caller.operator:
            raise Forbidden("An operator's key reads metrics and details; work needs a client's key.")
        scope["state"]["caller"] = caller
        with ExitStack() as places:
            places.enter_context(self._limits.work.taken(caller.tenant))
            scope["state"]["places"] = places  # a request that only waits gives its place back
            response.headers.update(await self._limits.admit(caller))
            body = _BoundedBody(given, receive, service.settings.limits)
            await self._app(scope, body.receive, response.send)


def _check_host(given: Headers, http_version: str) -> None:
    """RFC 9112, 3.2. With two hosts, a proxy may check one and the service use the other.

    Raises:
        Malformed: the request has no host, more than one, or an invalid one.
    """
    hosts = given.getlist("host")
    if len(hosts) > 1 or (not hosts and http_version == "1.1") or not all(map(_HOST.fullmatch, hosts)):
        raise Malformed("Send one Host header, with a host in it.", headers={"Connection": "close"})


class _Response:
    """Adds headers to the response, and remembers its status."""

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self._send = send
        self.headers = headers
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in self.headers.items():
                headers.setdefault(name, value)
        await self._send(message)


class _BoundedBody:
    """A request's body, bounded in size and in time: neither memory nor a slot is held for a client that does not end.

    Raises:
        BodyEncoded: the body is compressed: its size would not bound its content.
        BodyTooLarge: by the announced size, else by the received size; the rest is not read.
    """

    def __init__(self, given: Headers, receive: Receive, limits: LimitSettings) -> None:
        self._receive = receive
        self._limits = limits
        self._until = time.monotonic() + limits.body_timeout_seconds
        self._whole = False
        self._received = 0
        encodings = ",".join(given.getlist("content-encoding") + given.getlist("transfer-encoding")).lower().split(",")
        if not {encoding.strip() for encoding in encodings} <= {"", "identity", "chunked"}:
            raise BodyEncoded("Send the body as it is, without compression.", headers={"Accept-Encoding": "identity"})
        announced = given.get("content-length", "")
        self._check(int(announced) if announced.isdecimal() else 0)

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout(self._until - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            seconds = self._limits.body_timeout_seconds
            raise BodyTimeout(f"Send the whole body within {seconds:g} seconds.", retry_after=1) from None
        self._received += len(message.get("body", b""))
        self._check(self._received)
        self._whole = not message.get("more_body", False)
        return message

    def _check(self, size: int) -> None:
        if size > self._limits.max_body_bytes:
            raise BodyTooLarge(f"A body may have {self._limits.max_body_bytes} bytes.", headers={"Connection": "close"})
