"""A probe from outside, made by a deployment before it shifts traffic. Each answer is paid like any other."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import Any, NamedTuple

_SECONDS = 60.0  # for each answer, to its last byte
_TEXT = "Reply with the word ready."


class Step(NamedTuple):
    """One thing that a caller does; an empty problem means success."""

    name: str
    seconds: float
    problem: str


class _Wrong(Exception):
    """There is an answer, but not the expected one."""


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would take the key to another address."""

    def redirect_request(self, *_: Any) -> None:
        return None


_client = urllib.request.build_opener(_Stay)


def probe(url: str, key: str, *, tasks: bool) -> Iterator[Step]:
    """Asks as a client would, until a step fails."""
    chat = {"model": "default", "messages": [{"role": "user", "content": _TEXT}]}
    steps: dict[str, Callable[[], None]] = {
        "live": lambda: _ask(f"{url}/livez"),
        "ready": lambda: _ask(f"{url}/readyz"),
        "run": lambda: _ask(f"{url}/v1/runs", key, {"input": _TEXT}, "output"),
        "stream": lambda: _stream(f"{url}/v1/runs", key),
        "chat": lambda: _ask(f"{url}/v1/chat/completions", key, chat, "choices"),
    }
    if tasks:
        steps["task"] = lambda: _task(url, key)
    for name, ask in steps.items():
        began, problem = time.perf_counter(), ""
        try:
            ask()
        except _Wrong as error:
            problem = str(error)
        except (OSError, ValueError, HTTPException) as error:
            problem = f"no answer: {error}"
        yield Step(name, round(time.perf_counter() - began, 3), problem)
        if problem:
            return


def _ask(url: str, key: str = "", body: Any = None, expected: str = "") -> None:
    answer = _object(url, key, body)
    if expected and not answer.get(expected):
        raise _Wrong(f"no {expected} in {str(answer)[:500]}")


def _stream(url: str, key: str) -> None:
    lines = _read(url, key, {"input": _TEXT, "stream": True}).decode(errors="replace").splitlines()
    events = [line.partition(": ")[2] for line in lines if line.startswith("event: ")]
    if events[-1:] != ["done"]:
        raise _Wrong(f"the stream ends with {events[-1:] or 'nothing'}")


def _task(url: str, key: str) -> None:
    end = time.monotonic() + _SECONDS
    task = _object(f"{url}/v1/tasks", key, {"input": _TEXT})
    while (status := task.get("status")) in ("queued", "running"):
        if time.monotonic() > end:
            raise _Wrong(f"task {task['id']} is {status} after {_SECONDS:g} s: does a worker run?")
        time.sleep(0.2)
        task = _object(f"{url}/v1/tasks/{task['id']}", key)
    if status != "completed":
        raise _Wrong(f"task {task.get('id')} is {status}")


def _object(url: str, key: str, body: Any = None) -> dict[str, Any]:
    text = _read(url, key, body)
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise _Wrong(f"no JSON object: {text[:200].decode(errors='replace')}")
    return answer


def _read(url: str, key: str, body: Any = None) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url} is no address; give http://… or https://…")
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)  # noqa: S310 checked
    try:
        with _client.open(request, timeout=_SECONDS) as response:
            return _whole(response)
    except urllib.error.HTTPError as error:
        to = f" to {place}" if (place := error.headers.get("Location")) else ""
        with error:
            raise _Wrong(f"status {error.code}{to}: {_whole(error)[:500].decode(errors='replace')}") from None


def _whole(response: Any) -> bytes:
    """The body. The time-out of a socket alone would not end an answer that comes byte by byte."""
    end, body = time.monotonic() + _SECONDS, b""
    while part := response.read1(65_536):
        body += part
        if time.monotonic() > end:
            raise TimeoutError(f"it has not ended after {_SECONDS:g} s")
    return body
