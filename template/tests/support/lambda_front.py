"""What moto leaves out of Lambda, in front of it: revision ids and digests that guard changes, versions that answer.

The rest goes through to moto as it came. `on_shift` is told of each change of the alias after it was made, `on_read` of
each look at the function that a change is going to be based on, `on_call` of each call of a version. Changes end with
the error that `refuses` names.
"""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Shift = tuple[str, dict[str, float]]  # the version behind the alias, and the shares of others
GUARDED = re.compile(r"/2015-03-31/functions/([^/?]+)/(aliases/\w+|code|configuration)$")
INVOKED = re.compile(r"/2015-03-31/functions/([^/?]+)/invocations\?Qualifier=(\w+)")


class LambdaFront:
    """A server on loopback; `answers` is what a version gives when it is called, an exception's text when it fails."""

    def __init__(self, behind: str) -> None:
        self.behind, self.lock = behind, threading.Lock()
        self.revisions: dict[str, str] = {}
        self.answers: dict[str, Any] = {}
        self.calls: list[tuple[str, Any]] = []
        self.shifts: list[Shift] = []
        self.on_shift: Callable[[Shift], object] = lambda shift: None
        self.on_read: Callable[[str], object] = lambda about: None
        self.on_call: Callable[[str], object] = lambda version: None
        self.refuses = ""
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, answer = front.handle(self.command, self.path, dict(self.headers), body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_one

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: the tests' output is theirs."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        if invoked := INVOKED.search(path):
            return self._invoke(invoked[2], body)
        if method == "POST" and path.endswith("/versions"):
            with self.lock:
                return self._publish(path, headers, body)
        guarded = GUARDED.search(path)
        if not guarded:
            return self._pass(method, path, headers, body)
        with self.lock:  # one change at a time, as AWS does it
            about = guarded[1] + ("" if guarded[2] in ("code", "configuration") else guarded[2])
            if method == "PUT" and self.refuses:
                return _json(403, {"message": "not you"}, self.refuses)
            expected = json.loads(body).get("RevisionId") if method == "PUT" else None
            if expected and expected != self.revisions.get(about):
                return _json(412, {"message": "The RevisionId provided does not match"}, "PreconditionFailedException")
            status, kept, answer = self._pass(method, path, headers, body)
            if status >= 300:
                return status, kept, answer
            if method == "PUT" or about not in self.revisions:
                self.revisions[about] = str(uuid.uuid4())
            found = json.loads(answer) | {"RevisionId": self.revisions[about]}
        if method == "GET" and guarded[2] == "configuration":
            self.on_read(about)
        if method == "PUT" and "FunctionVersion" in found:
            shift = (found["FunctionVersion"], (found["RoutingConfig"] or {}).get("AdditionalVersionWeights", {}))
            self.shifts.append(shift)
            self.on_shift(shift)
        return _json(status, found)

    def _publish(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Code that was not sent is not published, and code that was not changed is the version that there is."""
        versions = json.loads(self._pass("GET", path, headers, b"")[2])["Versions"]
        digest = next(each["CodeSha256"] for each in versions if each["Version"] == "$LATEST")
        if json.loads(body)["CodeSha256"] != digest:
            return _json(400, {"message": "CodeSHA256 is different from current"}, "InvalidParameterValueException")
        newest = max((each for each in versions if each["Version"] != "$LATEST"), key=lambda each: int(each["Version"]))
        return _json(201, newest) if newest["CodeSha256"] == digest else self._pass("POST", path, headers, body)

    def _invoke(self, version: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.calls.append((version, json.loads(body)))
        self.on_call(version)
        answer = self.answers.get(version, {"output": "ready"})
        if isinstance(answer, str):
            failed = {"errorType": "RuntimeError", "errorMessage": answer, "output": "whatever it says, it failed"}
            return 200, {"X-Amz-Function-Error": "Unhandled"}, json.dumps(failed).encode()
        return 200, {"X-Amz-Executed-Version": version}, json.dumps(answer).encode()

    def _pass(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")}
        request = urllib.request.Request(self.behind + path, body or None, kept, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, {"Content-Type": answer.headers["Content-Type"] or ""}, answer.read()
        except urllib.error.HTTPError as error:
            names = ("Content-Type", "x-amzn-errortype")
            return error.code, {name: error.headers[name] for name in names if error.headers[name]}, error.read()


def _json(status: int, body: Any, error: str = "") -> tuple[int, dict[str, str], bytes]:
    headers = {"Content-Type": "application/json"} | ({"x-amzn-ErrorType": error} if error else {})
    return status, headers, json.dumps(body).encode()
