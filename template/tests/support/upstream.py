"""An upstream with OpenAI Chat Completions and the rates API on loopback; it fails on demand.

    cd tests && python -m support.upstream --port 0        prints {"url": …, "admin": …} and serves until killed

`/_faults` (POST: the script of `upstream_faults.py`), `/_stats` (GET, DELETE) and `/_asked` (GET) are on a second
port, so that they answer while the first refuses connections. It uses a raw asyncio protocol, to be faster than the
tested service.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import time
import zlib
from collections import Counter, deque
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from support import upstream_answers as answers
from support.upstream_faults import Rule, Script

SPACES = b" " * (1 << 20)
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


class Upstream:
    """The current script, the requests so far, and the listening sockets."""

    def __init__(self) -> None:
        self.script = Script()
        self.connections: set[Connection] = set()
        self.open = 0
        self.reset()

    def reset(self) -> None:
        self.attempts: dict[str, Counter[str]] = {}
        self.outcomes: Counter[str] = Counter()
        self.keys: Counter[str] = Counter()
        self.requests: deque[dict[str, Any]] = deque(maxlen=50)
        self.times: deque[tuple[float, str, str]] = deque(maxlen=200_000)
        self.asked: deque[tuple[float, str, int]] = deque(maxlen=50_000)  # time.time(), the user's text, answers before
        self.billed: dict[str, Counter[str]] = {}  # fractions of tokens are fine
        self.abandoned = self.accepted = self.most_open = 0

    def bill(self, model: str, **tokens: float) -> None:
        """Counts what a model has read and written, whether its client learns of it or not."""
        self.billed.setdefault(model, Counter()).update(tokens)

    def stats(self) -> dict[str, Any]:
        return {
            "attempts": self.attempts,  # path → model name → requests
            "outcomes": self.outcomes,  # "ok" or the fault → requests
            "keys": self.keys,  # bearer token → requests
            "billed": self.billed,  # model name → `prompt` and `completion` tokens
            "requests": list(self.requests),  # the last fifty: path, headers, body
            "times": list(self.times),  # [time.time(), model, outcome] of each
            "abandoned": self.abandoned,  # the client closed before the end of the answer
            "accepted": self.accepted,  # accepted connections
            "open": self.open,
            "connected": len(self.connections),
            "most_open": self.most_open,  # requests at the same time
        }

    async def serve(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        # Bound but never listening: reserves the port while the upstream refuses connections.
        self._reserved = _bound(port)
        self._port: int = self._reserved.getsockname()[1]
        self._server: asyncio.Server | None = None
        await self.listen(True)
        admin = await loop.create_server(lambda: Connection(self, admin=True), "127.0.0.1", 0)
        addresses = {"url": f"http://127.0.0.1:{self._port}"}
        addresses["admin"] = f"http://127.0.0.1:{admin.sockets[0].getsockname()[1]}"
        print(json.dumps(addresses), flush=True)
        await admin.serve_forever()

    async def listen(self, wanted: bool) -> None:
        if wanted and self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: Connection(self), sock=_bound(self._port), backlog=1024)
        elif not wanted and self._server is not None:
            self._server.close()
            self._server = None
            for connection in list(self.connections):
                connection.transport.abort()


class Connection(asyncio.Protocol):
    """One keep-alive client connection; one request at a time."""

    transport: asyncio.Transport

    def __init__(self, upstream: Upstream, *, admin: bool = False) -> None:
        self.upstream, self.admin = upstream, admin
        self.buffer = bytearray()
        self.busy = False
        self.key = self.model = ""
        self.tokens: dict[str, int] = {}  # of the request at hand
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if not self.admin:
            self.upstream.accepted += 1
            self.upstream.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.upstream.connections.discard(self)
        self.upstream.abandoned += self.busy and not self.admin
        self.finish()
        if self.task:
            self.task.cancel()

    def begin(self) -> None:
        self.busy = True
        if not self.admin:
            self.upstream.open += 1
            self.upstream.most_open = max(self.upstream.most_open, self.upstream.open)

    def finish(self) -> None:
        if self.busy and not self.admin:
            self.upstream.open -= 1
        self.busy = False

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.busy or (end := self.buffer.find(b"\r\n\r\n")) < 0:
            return
        first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(self.buffer) < end + 4 + length:
            return
        body = bytes(self.buffer[end + 4 : end + 4 + length])
        del self.buffer[: end + 4 + length]
        method, target, _ = first.split(" ")
        self.begin()
        if self.admin:
            self.task = asyncio.ensure_future(self.administer(method, target, body))
        else:
            self.answer(method, target, headers, json.loads(body) if body else {})

    async def administer(self, method: str, target: str, body: bytes) -> None:
        try:
            if target == "/_faults" and method == "POST":
                self.upstream.script = Script.parse(json.loads(body))
                await self.upstream.listen(self.upstream.script.listening)
            elif target == "/_stats" and method == "DELETE":
                self.upstream.reset()
            elif target == "/_asked":
                return self.send(200, json.dumps(list(self.upstream.asked)).encode())
            elif target != "/_stats":
                return self.send(404, b'{"error": "use /_faults, /_stats or /_asked"}')
            self.send(200, json.dumps(self.upstream.stats()).encode())
        except (ValueError, TypeError) as error:
            self.send(400, json.dumps({"error": str(error)}).encode())

    def answer(self, method: str, target: str, headers: dict[str, str], request: dict[str, Any]) -> None:
        upstream, script, url = self.upstream, self.upstream.script, urlsplit(target)
        model, key = str(request.get("model", "-")), headers.get("authorization", "").removeprefix("Bearer ")
        self.key = key
        text = answers.place_in_run(request)[0] if "messages" in request else ""
        rule = script.pick(url.path, model, text)
        outcome = "ok" if rule is None else str(rule.status) if rule.fault == "status" else rule.fault
        if not rule and script.allowed_keys is not None and key not in script.allowed_keys and model != "-":
            rule, outcome = Rule("status", status=401), "401"
        upstream.attempts.setdefault(url.path, Counter())[model] += 1
        upstream.outcomes[outcome] += 1
        upstream.keys[key] += 1
        upstream.requests.append({"path": target, "headers": headers, "body": request})
        upstream.times.append((time.time(), model, outcome))
        self.model, self.tokens = model, {}
        if "messages" in request:
            upstream.asked.append((time.time(), *answers.place_in_run(request)))
            if not rule or not rule.refuses:
                self.tokens = answers.billed(request, answers.message_for(request, script.answer), script)
                upstream.bill(model, prompt=self.tokens["prompt_tokens"])

        parts, content_type, status = answers.answer_to(method, url, request, script, rule)
        latency = rule.seconds if rule and rule.fault == "latency" else script.latency
        if latency or rule or (script.chunk_seconds and len(parts) > 1):
            self.task = asyncio.ensure_future(self.play(rule, parts, content_type, status, latency))
        elif len(parts) > 1:
            self.write()
            self.transport.write(_head(200, content_type, None) + b"".join(map(_chunk, parts)) + b"0\r\n\r\n")
            self.finish()
        else:
            self.write()
            self.send(status, parts[0], content_type)

    def write(self, share: float = 1.0) -> None:
        """The model writes a share of its answer."""
        self.upstream.bill(self.model, completion=self.tokens.get("completion_tokens", 0) * share)

    async def play(self, rule: Rule | None, parts: list[bytes], content_type: str, status: int, latency: float) -> None:
        fault, body = rule.fault if rule else None, b"".join(parts)
        if latency:
            await asyncio.sleep(latency)
        streamed = len(parts) > 1
        if fault not in ("status", "reset", "hang") and not (streamed and fault in (None, "latency")):
            self.write(0.5 if streamed and fault == "cut" else 1.0)
        if rule and fault == "status":
            extra = {"retry-after": rule.retry_after} if rule.retry_after is not None else {}
            # As careless as real providers: the message repeats the key.
            error = {
                "error": {"message": f"scripted {rule.status} for key {self.key}", "type": "scripted", "code": None}
            }
            self.send(rule.status, rule.text.encode() or json.dumps(error).encode(), extra=extra)
        elif fault == "reset":
            self.finish()
            self.transport.abort()
        elif fault == "hang":
            await asyncio.Event().wait()
        elif rule and fault == "drip":
            self.transport.write(_head(200, content_type, len(body)))
            for byte in body:
                self.transport.write(bytes([byte]))
                await asyncio.sleep(rule.seconds)
            self.finish()
        elif rule and fault == "bomb":
            encoding = "deflate" if rule.encoding == "raw" else rule.encoding
            self.send(200, _bomb(body, rule.encoding, rule.bytes), content_type, {"content-encoding": encoding})
        elif rule and fault == "body":
            self.send(200, rule.text.encode())
        elif fault == "odd":
            self.send(200, body, content_type)
        elif fault == "truncated_json":
            self.send(200, body[: len(body) // 2], content_type)
        elif fault == "wrong_json":
            self.send(200, b'{"hello": ["world"]}')
        elif fault == "not_json":
            self.send(200, b"<html><body>Bad gateway, have a nice day</body></html>", "text/html")
        elif fault == "cut":
            self.transport.write(_head(200, content_type, len(body)) + body[: len(body) // 2])
            self.finish()
            self.transport.close()
        elif streamed:
            await self.stream(parts, content_type)
        else:
            self.send(status, body, content_type)

    async def stream(self, parts: list[bytes], content_type: str) -> None:
        self.transport.write(_head(200, content_type, None))
        for part in parts:
            self.write(1 / len(parts))
            self.transport.write(_chunk(part))
            await asyncio.sleep(self.upstream.script.chunk_seconds)
        self.transport.write(b"0\r\n\r\n")
        self.finish()

    def send(
        self, status: int, body: bytes, content_type: str = "application/json", extra: dict[str, str] | None = None
    ) -> None:
        self.finish()
        self.transport.write(_head(status, content_type, len(body), extra) + body)


@cache
def _bomb(body: bytes, encoding: str, spaces: int) -> bytes:
    packed = zlib.compressobj(wbits={"gzip": 31, "deflate": 15, "raw": -15}.get(encoding, 31))
    return b"".join(map(packed.compress, [body, *[SPACES] * (spaces // len(SPACES))])) + packed.flush()


def _bound(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def _head(status: int, content_type: str, length: int | None, extra: dict[str, str] | None = None) -> bytes:
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    more = "".join(f"{name}: {value}\r\n" for name, value in (extra or {}).items())
    reason = REASONS.get(status, "Error")
    return f"HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\n{framing}\r\n{more}\r\n".encode()


def _chunk(part: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(part), part)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Upstream().serve(parser.parse_args().port))
