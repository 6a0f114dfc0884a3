"""The handler on this machine, without AWS: HTTP requests become the events of a function URL, one at a time."""

import base64
import os
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import typer

from ..config.settings import Settings
from .api import handler

TIMEOUT_SECONDS = 900  # as long as Lambda lets a function run


class LocalContext:
    """What Lambda would say of an invocation."""

    def __init__(self) -> None:
        self.aws_request_id = uuid.uuid4().hex
        self._until = time.monotonic() + TIMEOUT_SECONDS

    def get_remaining_time_in_millis(self) -> int:
        return int((self._until - time.monotonic()) * 1000)


def event_of(method: str, target: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """The event that a function URL makes of a request (payload format 2.0)."""
    parts = urlsplit(target)
    return {
        "version": "2.0",
        "rawPath": parts.path,
        "rawQueryString": parts.query,
        "headers": {name.lower(): value for name, value in headers.items()},
        "requestContext": {"http": {"method": method, "path": parts.path, "sourceIp": "127.0.0.1"}},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


class _Asked:
    """A request that waits for the one thread that the handler runs in."""

    def __init__(self, event: dict[str, Any]) -> None:
        self.event = event
        self.answer: dict[str, Any] = {}
        self.done = threading.Event()


def serve(settings: Settings) -> None:
    """Serves until told to stop. The handler has the main thread, as in Lambda."""
    asked: SimpleQueue[_Asked] = SimpleQueue()

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            request = _Asked(event_of(self.command, self.path, dict(self.headers.items()), body))
            asked.put(request)
            request.done.wait()
            content = request.answer["body"].encode()
            self.send_response(request.answer["statusCode"])
            for name, value in request.answer["headers"].items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_DELETE = do_POST

        def log_message(self, *_: object) -> None:
            """The handler has its own line for each."""

    server = ThreadingHTTPServer((settings.host, settings.port), Front)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    typer.echo(f"Serving the function on http://{settings.host}:{server.server_port}, stop with Ctrl-C.")
    try:
        while True:
            request = asked.get()
            try:
                request.answer = handler(request.event, LocalContext())
            finally:
                request.done.set()
    except KeyboardInterrupt:
        os._exit(0)
