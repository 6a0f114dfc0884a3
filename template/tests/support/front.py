"""A gateway in front of a function; replaces the command `serve`: `front.py serve`.

HTTP on PORT becomes the events of a function URL for a function under AWS' runtime client, so that what is tested of
the one door can be tested of the other, unchanged.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.processes import environment
from support.runtime import Function, event_of

SECONDS = 90.0


def main() -> None:
    settings: dict[str, Any] = {name: value for name, value in os.environ.items() if name not in environment()}
    function = Function("api", echo=True, **settings)

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            path, _, query = self.path.partition("?")
            headers: dict[str, str] = {}
            for name, value in self.headers.items():  # API Gateway joins repeated headers
                headers[name.lower()] = f"{headers[name.lower()]},{value}" if name.lower() in headers else value
            found = function.wait(function.api.send(event_of(self.command, path, body, headers, query), SECONDS))
            answer = found.result or {"statusCode": 502, "headers": {}, "body": "the function failed"}
            content = b64decode(answer["body"]) if answer.get("isBase64Encoded") else answer["body"].encode()
            self.send_response_only(answer["statusCode"])
            for name, value in {**answer["headers"], "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_DELETE = do_PUT = do_PATCH = do_HEAD = do_OPTIONS = do_POST

        def log_message(self, *_: object) -> None:
            """Silent: the function has its own log."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Silent: clients may disconnect."""

    server = Server(("127.0.0.1", int(os.environ["PORT"])), Front)

    def stop(_: int, __: FrameType | None) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server.serve_forever()
    function.signal()
    os._exit(function.ended(10))


if __name__ == "__main__":
    main()
