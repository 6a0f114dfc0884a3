"""A probe from outside, made by a deployment before it shifts traffic. Each answer is paid like any other."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_SECONDS = 60.0
_TEXT = "Reply with the word ready."


class Step(NamedTuple):
    """One thing that a caller does; an empty problem means success."""

    name: str
    seconds: float
    problem: str


def probe(url: str, key: str, *, tasks: bool) -> Iterator[Step]:
    """Asks as a client would, until a step fails."""
    chat = {"model": "default", "messages": [{"role": "user", "content": _TEXT}]}
    steps: dict[str, Callable[[], str]] = {
        "live": lambda: _ask(f"{url}/livez"),
        "ready": lambda: _ask(f"{url}/readyz"),
        "run": lambda: _ask(f"{url}/v1/runs", key, {"input": _TEXT}, "output"),
        "stream": lambda: _streamed(f"{url}/v1/runs", key),
        "chat": lambda: _ask(f"{url}/v1/chat/completions", key, chat, "choices"),
    }
    if tasks:
        steps["task"] = lambda: _task(url, key)
    for name, ask in steps.items():
        began = time.perf_counter()
        try:
            problem = ask()
        except urllib.error.HTTPError as error:
            problem = f"status {error.code}: {error.read(500).decode(errors='replace')}"
        except (OSError, ValueError) as error:
            problem = f"no answer: {error}"
        yield Step(name, round(time.perf_counter() - began, 3), problem)
        if problem:
            return


def _ask(url: str, key: str = "", body: Any = None, expected: str = "") -> str:
    with _open(url, key, body) as response:
        answer = json.load(response)
    return "" if not expected or answer.get(expected) else f"no {expected} in {answer}"


def _streamed(url: str, key: str) -> str:
    with _open(url, key, {"input": _TEXT, "stream": True}) as response:
        events = [line.decode().partition(": ")[2].strip() for line in response if line.startswith(b"event: ")]
    return "" if events[-1:] == ["done"] else f"the stream ends with {events[-1:] or 'nothing'}"


def _task(url: str, key: str) -> str:
    end = time.monotonic() + _SECONDS
    with _open(f"{url}/v1/tasks", key, {"input": _TEXT}) as response:
        task = json.load(response)
    while task["status"] in ("queued", "running"):
        if time.monotonic() > end:
            return f"task {task['id']} is {task['status']} after {_SECONDS:g} s: does a worker run?"
        time.sleep(0.2)
        with _open(f"{url}/v1/tasks/{task['id']}", key) as response:
            task = json.load(response)
    return "" if task["status"] == "completed" else f"task {task['id']} is {task['status']}"


def _open(url: str, key: str, body: Any = None) -> Any:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url} is no address; give http://… or https://…")
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)  # noqa: S310 checked
    return urllib.request.urlopen(request, timeout=_SECONDS)  # noqa: S310 checked
