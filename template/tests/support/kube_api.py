"""A Kubernetes API without a cluster, for the real kubectl: it keeps objects and their versions, and plays the
controllers of Deployments and Jobs. A pod of an image in `never` is never ready, and a Job of one in `broken` fails;
`runs` is what a command in a pod ends with.

Patches merge maps, and lists of named things by their names, as Kubernetes does for Deployments; a patch with another
resourceVersion than the object's is a conflict.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from support.kube_objects import Json, discovered, failed, image_of, merged

OBJECT = re.compile(r"(/api/v1|/apis/[^/]+/v1)/namespaces/([^/]+)/(\w+)(?:/([^/]+))?(/exec|/log)?$")
ACCEPT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455


class KubeApi:
    """`status` answers every request with one error; `changes` are the patches so far; `on_change` is told of each.

    `before_write` is called before each write and outside the lock, so that it may wait for another writer.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Json] = {}
        self.never: set[str] = set()
        self.broken: set[str] = set()
        self.runs = {"exit": 0, "said": ""}
        self.asked: list[list[str]] = []
        self.status = 0
        self.changes: list[tuple[str, str, Json]] = []
        self.on_change: Callable[[str, str, Json], object] = lambda kind, name, change: None
        self.before_write: Callable[[str], object] = lambda kind: None
        self._lock, self._version = threading.RLock(), 0
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.headers.get("Upgrade", "").lower() == "websocket" and not api.status:
                    return self.run()
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = api.handle(self.command, self.path, json.loads(body or b"{}"))
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
                return None

            do_POST = do_PATCH = do_DELETE = do_GET

            def run(self) -> None:
                api.asked.append(parse_qs(urlsplit(self.path).query)["command"])
                key = (self.headers["Sec-WebSocket-Key"] + ACCEPT).encode()
                self.send_response(101)
                self.send_header("Upgrade", "websocket")
                self.send_header("Connection", "Upgrade")
                self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key).digest()).decode())
                self.send_header("Sec-WebSocket-Protocol", "v5.channel.k8s.io")
                self.end_headers()
                with suppress(OSError):  # a client whose streams are not all there yet takes the end for a failure
                    self.connection.settimeout(2)
                    self.rfile.read(1)
                for channel, text in ((2, str(api.runs["said"])), (3, json.dumps(api.ended()))):
                    content = bytes([channel]) + text.encode()
                    self.wfile.write(bytes([0x82, 126]) + len(content).to_bytes(2, "big") + content)
                self.wfile.write(b"\x88\x02\x03\xe8")
                self.close_connection = True
                with suppress(OSError):
                    self.connection.settimeout(5)
                    while self.rfile.read(1):
                        pass

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: the tests' output is theirs."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, given: Json) -> Json:
        kind, name = f"{given['kind'].lower()}s", given["metadata"]["name"]
        self.objects[kind, name] = given
        return self._touch(kind, given)

    def ended(self) -> Json:
        if not self.runs["exit"]:
            return {"status": "Success"}
        causes = [{"reason": "ExitCode", "message": str(self.runs["exit"])}]
        return {"status": "Failure", "reason": "NonZeroExitCode", "message": "failed", "details": {"causes": causes}}

    def handle(self, method: str, path: str, body: Json) -> tuple[int, Json]:
        place = urlsplit(path)
        if self.status:
            return failed(self.status, {401: "Unauthorized", 403: "Forbidden"}[self.status], "not you")
        if found := discovered(place.path):
            return 200, found
        if not (named := OBJECT.match(place.path)):
            return failed(404, "NotFound", f"the server has no {place.path}")
        _, _, kind, name, part = named.groups()
        if method != "GET":
            self.before_write(kind)
        with self._lock:
            if method == "GET" and not name:
                wanted = parse_qs(place.query).get("labelSelector", [""])[0].split(",")
                return 200, {"kind": "PodList", "apiVersion": "v1", "items": self._pods(wanted)}
            if method == "POST":
                key = (kind, body["metadata"]["name"])
                if key in self.objects:
                    return failed(409, "AlreadyExists", f"{key} already exists")
                created = copy.deepcopy(self.add(body))
                if kind == "jobs":
                    self.changes.append((kind, key[1], {"image": image_of(body)}))
                    self.on_change(*self.changes[-1])
                return 201, created
            if part == "/log":
                return 200, {"said": "the tables cannot be changed"}
            if method == "DELETE" and (kind, name) in self.objects:
                del self.objects[kind, str(name)]
                self.changes.append((kind, str(name), {}))
                return 200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
            if kind == "pods":
                return 200, next(pod for pod in self._pods() if pod["metadata"]["name"] == name)
            if (kind, name) not in self.objects:
                return failed(404, "NotFound", f'{kind} "{name}" not found')
            if method == "PATCH":
                return self._patch(kind, str(name), body, dry="dryRun" in place.query)
            return 200, self.objects[kind, str(name)]

    def _patch(self, kind: str, name: str, change: Json, *, dry: bool) -> tuple[int, Json]:
        now = self.objects[kind, name]
        expected = change.get("metadata", {}).get("resourceVersion")
        if expected and expected != now["metadata"]["resourceVersion"]:
            return failed(409, "Conflict", "the object has been modified")
        new = merged(copy.deepcopy(now), change)
        if dry:
            return 200, new
        self.objects[kind, name] = self._touch(kind, new)
        self.changes.append((kind, name, change))
        self.on_change(kind, name, change)
        return 200, new

    def _touch(self, kind: str, found: Json) -> Json:
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)
        found["metadata"].setdefault("uid", str(self._version))
        if kind == "jobs":
            end = "Failed" if image_of(found) in self.broken else "Complete"
            found["status"] = {"conditions": [{"type": end, "status": "True"}]}
            found["spec"]["selector"] = {"matchLabels": {"job-name": found["metadata"]["name"]}}
            found["spec"]["replicas"] = 1
        if kind == "deployments":  # its controller has nothing to wait for
            found["metadata"]["generation"] = self._version
            pods, image = found["spec"]["replicas"], image_of(found)
            counts = {"replicas": pods, "updatedReplicas": pods, "readyReplicas": 0 if image in self.never else pods}
            found["status"] = {"observedGeneration": self._version, **counts}
        return found

    def _pods(self, wanted: list[str] | None = None) -> list[Json]:
        return [
            {
                "kind": "Pod",
                "apiVersion": "v1",
                "metadata": {
                    "name": f"{name}-1",
                    "namespace": "agents",
                    "labels": found["spec"]["selector"]["matchLabels"],
                },
                "spec": found["spec"]["template"]["spec"],
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            }
            for (kind, name), found in self.objects.items()
            if kind in ("deployments", "jobs") and found["spec"]["replicas"]
            if wanted is None or wanted == [f"{k}={v}" for k, v in found["spec"]["selector"]["matchLabels"].items()]
        ]
