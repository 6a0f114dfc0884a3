"""A receiver of events over HTTP, which checks their signatures. A pytest plugin (see conftest.py)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

SECRET = "secret of the webhook"


class Webhook:
    """Receives events; refuses the first `refusals` with `status`."""

    def __init__(self, refusals: int, status: int = 500) -> None:
        self.refusals = refusals
        self.status = status
        self.attempts = 0
        self.events: list[dict[str, Any]] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                webhook.refusals -= 1
                webhook.attempts += 1
                if webhook.refusals < 0:
                    signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
                    digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
                    assert self.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
                    assert self.headers["content-type"] == "application/cloudevents+json"
                    webhook.events.append(json.loads(body))
                self.send_response(204 if webhook.refusals < 0 else webhook.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    webhook = Webhook(refusals=1)
    yield webhook
    webhook.stop()
