"""Every HTTP client of the service: one bounded pool an upstream, closed at exit, answers of bounded size."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any
from urllib.parse import urlencode

import httpx2
from pydantic import SecretStr
from pydantic_ai._ssrf import build_url_with_ip, validate_and_resolve_url  # the check that pydantic-ai's downloads use

from .guard import BulkheadFull, CircuitOpen, Guards
from .settings import Settings

MAX_ANSWER_BYTES = 8 * 1024 * 1024  # of what comes in pieces, and of files
MAX_JSON_BYTES = 2 * 1024 * 1024  # four times the longest answer of a model; it is read and cleaned in one go
KEY_HEADERS = ("authorization", "x-api-key", "x-goog-api-key", "api-key")


class AnswerTooLarge(httpx2.ReadError):
    """An upstream sent more than MAX_ANSWER_BYTES, or MAX_JSON_BYTES."""


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, most: int) -> None:
        self._stream = stream
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        async for chunk in self._stream:
            received += len(chunk)
            if received > self._most:
                raise AnswerTooLarge(f"more than {self._most} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class _BoundedTransport(httpx2.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if isinstance(response.stream, httpx2.AsyncByteStream):
            is_json = response.headers.get("content-type", "").startswith("application/json")
            response.stream = _BoundedStream(response.stream, MAX_JSON_BYTES if is_json else MAX_ANSWER_BYTES)
        return response


class Unavailable(Exception):
    """An API that a tool needs cannot be reached or does not answer as it should; its guard has tried."""


class _SigningTransport(_BoundedTransport):
    """Puts the key in force into each request, so that rotation needs no restart and fails no call.

    A key that the provider refuses is read again at once; when it has been rotated, the new one is tried. Not httpx2's
    `auth`: where a client has that, pydantic-ai cannot tell whose calls it may put together, and refuses to.
    """

    def __init__(
        self, key: Callable[[], SecretStr | None], refresh: Callable[[], Awaitable[None]], **options: Any
    ) -> None:
        super().__init__(**options)
        self._key = key
        self._refresh = refresh

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        key = self._sign(request)
        response = await super().handle_async_request(request)
        if response.status_code == 401 and key is not None:
            if self._key() == key:
                await self._refresh()
            if self._key() != key:
                await response.aclose()
                self._sign(request)
                return await super().handle_async_request(request)
        return response

    def _sign(self, request: httpx2.Request) -> SecretStr | None:
        if key := self._key():
            for header in KEY_HEADERS:
                if header in request.headers:
                    value = key.get_secret_value()
                    request.headers[header] = f"Bearer {value}" if header == "authorization" else value
        return key


class ForbiddenAddress(Unavailable):
    """A tool tried to reach an address in a private range, or the metadata service of a cloud."""


def transient(error: BaseException) -> bool:
    """Worth another attempt, and a sign of bad health: no connection, no answer in time, 408, 429, 5xx."""
    if isinstance(error, httpx2.HTTPStatusError):
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    return isinstance(error, httpx2.TransportError | TimeoutError | OSError)


def never_connected(error: BaseException) -> bool:
    """Whether a call failed before anything of it was sent; an SDK's error names its cause."""
    causes = (error, error.__cause__, error.__cause__ and error.__cause__.__cause__)
    return any(isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout) for cause in causes)


class Outbound:
    """Makes and owns the clients. Each caller's requests still go through its guard."""

    def __init__(self, settings: Settings, guards: Guards) -> None:
        self._settings = settings
        self._guards = guards
        self._stack = AsyncExitStack()
        self._tools: httpx2.AsyncClient | None = None

    def model_client(
        self, key: Callable[[], SecretStr | None], refresh: Callable[[], Awaitable[None]]
    ) -> httpx2.AsyncClient:
        """A client for a model's SDK, which signs with the key in force; `refresh` is asked for a newer one."""
        return self._client(partial(_SigningTransport, key, refresh))

    async def get_json(self, dependency: str, url: str, params: dict[str, str], *, timeout: float = 5.0) -> Any:
        """The JSON at `url`, for tools. Private address ranges are refused unless the host is listed as allowed.

        Raises:
            ForbiddenAddress: the host resolves to a private address.
            Unavailable: no usable answer after the guard's attempts, or without one while its breaker is open.
        """

        async def get() -> Any:
            # The check resolves the name and the request goes to the address that was checked (no DNS rebinding).
            host = httpx2.URL(url).host
            try:
                allow = host in self._settings.agent.allowed_private_hosts
                resolved = await validate_and_resolve_url(f"{url}?{urlencode(params)}", allow_local=allow)
            except ValueError as error:
                raise ForbiddenAddress(f"{host}: {error}") from error
            self._tools = self._tools or self._client()
            response = await self._tools.get(
                build_url_with_ip(resolved),
                headers={"host": httpx2.URL(url).netloc.decode()},
                extensions={"sni_hostname": host},
            )
            response.raise_for_status()
            return response.json()

        try:
            return await self._guards.get(dependency, transient, timeout_seconds=timeout).call(get)
        except (httpx2.HTTPError, CircuitOpen, BulkheadFull, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(f"{dependency}: {type(error).__name__}") from error

    async def post(self, dependency: str, url: str, content: bytes, headers: dict[str, str]) -> None:
        """Sends `content` to an address of the operator's choice, which may be a private one.

        Raises:
            Unavailable: no 2xx after the guard's attempts, or without one while its breaker is open.
        """

        async def send() -> None:
            self._tools = self._tools or self._client()
            (await self._tools.post(url, content=content, headers=headers)).raise_for_status()

        try:
            await self._guards.get(dependency, transient).call(send)
        except (httpx2.HTTPError, CircuitOpen, BulkheadFull, TimeoutError, OSError) as error:
            raise Unavailable(f"{dependency}: {type(error).__name__}") from error

    async def aclose(self) -> None:
        await self._stack.aclose()

    def _client(self, transport: Callable[..., _BoundedTransport] = _BoundedTransport) -> httpx2.AsyncClient:
        guard = self._settings.guard
        client = httpx2.AsyncClient(
            transport=transport(
                limits=httpx2.Limits(
                    max_connections=guard.max_concurrent, max_keepalive_connections=guard.max_concurrent
                )
            ),
            timeout=httpx2.Timeout(guard.timeout_seconds, connect=min(5.0, guard.timeout_seconds)),
            follow_redirects=False,
        )
        self._stack.push_async_callback(client.aclose)
        return client
