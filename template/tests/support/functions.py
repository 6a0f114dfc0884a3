"""Fixtures: functions that use the tests' upstream. A pytest plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from conftest import KEY, settings_for
from support.processes import Upstream
from support.runtime import Function, Invocation, event_of

StartFunction = Callable[..., Function]


@pytest.fixture
def start_function(upstream: Upstream) -> Iterator[StartFunction]:
    """Starts functions with these settings added to `settings_for`; kills them at the end."""
    started: list[Function] = []

    def start(handler: str = "api", api: Any = None, **settings: Any) -> Function:
        function = Function(handler, api, **settings_for(upstream, **settings))
        started.append(function)
        return function

    yield start
    upstream.plays()
    for function in started:
        function.close()


@pytest.fixture(scope="session")
def shared_function(shared_upstream: Upstream) -> Iterator[Function]:
    settings = settings_for(shared_upstream, GUARD__BREAKER_MINIMUM_CALLS=1_000_000, GUARD__RETRY_BUDGET=1.0)
    with Function("api", **settings) as function:
        yield function


@pytest.fixture
def function(shared_function: Function, upstream: Upstream) -> Function:
    """The handler of requests; warm after the first test."""
    return shared_function


def asked(function: Function, method: str, path: str, body: bytes = b"", key: str = KEY, **headers: str) -> Invocation:
    """Sends a request through the function's URL."""
    given = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    path, _, query = path.partition("?")
    return function.invoke(event_of(method, path, body, given, query))
