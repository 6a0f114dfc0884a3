"""Cheap load: keep-alive connections over raw sockets, since clients share two cores with the tested service.

Nothing is hidden: a connection that breaks is an answer with status 0, and no request is sent twice.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 90.0  # seconds; longer than any deadline in these scenarios


@dataclass(frozen=True)
class Answer:
    """An answer. `began` is `time.time()`, so that tests can compare it with other processes' times."""

    status: int  # 0: the connection broke, or PATIENCE ran out
    body: bytes
    headers: dict[str, str]
    began: float
    seconds: float

    @property
    def json(self) -> dict[str, Any]:
        """The body as an object; empty if it is not JSON."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def degraded(self) -> bool:
        return self.json.get("degraded") is True


class Connection:
    """One HTTP/1.1 connection, opened on first use and reopened after the server closed it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, body: bytes, key: str, path: str = "/v1/runs", **headers: str) -> Answer:
        lines = [f"POST {path} HTTP/1.1", f"host: {urlsplit(self.url).netloc}", f"authorization: Bearer {key}"]
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        began, started = time.time(), time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                status, given, content = await self._exchange("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            self.close()
            status, given, content = 0, {}, repr(error).encode()
        return Answer(status, content, given, began, time.perf_counter() - started)

    async def _exchange(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        if self._streams is None:
            address = urlsplit(self.url)
            self._streams = await asyncio.open_connection(address.hostname, address.port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "content-length" in headers:
            content = await reader.readexactly(int(headers["content-length"]))
        else:
            content = b""
            while size := int(await reader.readline(), 16):
                content += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(first.split(" ")[1]), headers, content

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None


@dataclass
class Load:
    """Callers of a service, and all their answers.

    Args:
        url: of the service, or a function that chooses it for each request.
        keys: API keys, used in turn.
        stream_every: every n-th request asks for a stream; 0 is never.
    """

    url: str | Callable[[], str]
    keys: list[str]
    stream_every: int = 0
    answers: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._idle: dict[str, list[Connection]] = {}
        self._sent = 0

    async def ask(self, text: str = "", *, stream: bool = False, **headers: str) -> Answer:
        """One run, over an idle connection or a new one; without a text, each input differs."""
        number = self._sent
        self._sent += 1
        wanted: dict[str, Any] = {"input": text or f"question {number}"}
        if stream or (self.stream_every and number % self.stream_every == 0):
            wanted["stream"] = True
        url = self.url if isinstance(self.url, str) else self.url()
        idle = self._idle.setdefault(url, [])
        connection = idle.pop() if idle else Connection(url)
        answer = await connection.ask(json.dumps(wanted).encode(), self.keys[number % len(self.keys)], **headers)
        idle.append(connection)
        self.answers.append(answer)
        return answer

    async def callers(self, number: int, *, runs: int | None = None, seconds: float = math.inf) -> list[Answer]:
        """`number` callers; each sends its next request after each answer, for `runs` in total or for `seconds`."""
        first, end, left = len(self.answers), time.monotonic() + seconds, iter(range(runs or 10**9))

        async def caller() -> None:
            while time.monotonic() < end and next(left, None) is not None:
                await self.ask()

        async with asyncio.TaskGroup() as group:
            for _ in range(number):
                group.create_task(caller())
        return self.answers[first:]

    async def arrivals(self, per_second: float, *, seconds: float = math.inf, most: int = 10**9) -> list[Answer]:
        """Requests at a steady rate, even if answers are slow; with `most` of them waiting, none is sent."""
        first, started = len(self.answers), time.monotonic()
        async with asyncio.TaskGroup() as group:
            sent = number = 0
            while (elapsed := time.monotonic() - started) < seconds:
                while number <= elapsed * per_second:
                    number += 1
                    if sent - (len(self.answers) - first) < most:
                        group.create_task(self.ask())
                        sent += 1
                await asyncio.sleep(min(0.005, 1 / per_second))
        return self.answers[first:]

    @asynccontextmanager
    async def going_on(self, *, callers: int = 0, per_second: float = 0.0) -> AsyncGenerator[None]:
        """Load in the background; waits for requests in flight at the end."""
        stop = asyncio.Event()
        gap = callers / per_second if per_second else 0.0

        async def caller(number: int) -> None:
            await asyncio.sleep(gap * number / callers)  # spreads the callers out
            while not stop.is_set():
                next_at = time.monotonic() + gap
                await self.ask()
                await asyncio.sleep(max(0.0, next_at - time.monotonic()))

        async with asyncio.TaskGroup() as group:
            for number in range(callers):
                group.create_task(caller(number))
            try:
                yield
            finally:
                stop.set()

    async def __aenter__(self) -> Load:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        await asyncio.sleep(0)  # the transports close on the next turn of the loop


def statuses(answers: Iterable[Answer]) -> dict[int, int]:
    return dict(sorted(Counter(answer.status for answer in answers).items()))


def share(answers: Iterable[Answer], status: int = 200) -> float:
    """The share of answers with this status."""
    given = [answer.status for answer in answers]
    return given.count(status) / len(given)


def quantile(values: Iterable[float], at: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(at * len(ordered)))]


def milliseconds(answers: Iterable[Answer], at: float = 0.5) -> float:
    return 1000 * quantile([answer.seconds for answer in answers], at)
