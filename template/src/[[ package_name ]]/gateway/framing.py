"""Framing of answers for clients of HTTP/1.0."""

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


def without_chunks(cycle: RequestResponseCycle, app: ASGIApp) -> Any:
    """`app`, with answers that end with their connection if they have no Content-Length (RFC 9112, 6.3)."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        counted = False

        async def unframed(message: Message) -> None:
            nonlocal counted
            if message["type"] == "http.response.start":
                counted = any(name.lower() == b"content-length" for name, _ in message["headers"])
                cycle.chunked_encoding = None if counted else False
            elif not counted:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, unframed)

    return answer
