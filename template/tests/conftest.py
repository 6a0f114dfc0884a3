"""Fixtures: the service and what it talks to, as real processes on loopback.

A service takes two seconds to start, so tests that need no settings of their own share one (`service`); the others
start theirs with `start_service(NAME=value, …)`. Each test begins with an upstream that behaves and has seen nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from processes import Redis, Service, Upstream, new_key

StartService = Callable[..., Service]

KEY, HASH = new_key()
OTHER_KEY, OTHER_HASH = new_key()
MODEL_KEY = "model-key-of-the-tests"
NO_REDIS = "redis-server is not on PATH (Debian: apt-get install redis-server); CI has it"


def settings_for(upstream: Upstream, **more: object) -> dict[str, object]:
    """Settings of a service that uses this upstream, with two clients and limits out of the way."""
    return {
        "MODEL__PRIMARY": "openai-chat:primary",
        "MODEL__BASE_URL": f"{upstream.url}/v1",
        "MODEL__API_KEY": MODEL_KEY,
        "AGENT__RATES_URL": upstream.url,
        "AGENT__ALLOWED_PRIVATE_HOSTS": ["127.0.0.1"],
        "AUTH__KEYS": {"tests": {"hash": HASH, "tenant": "acme"}, "others": {"hash": OTHER_HASH, "tenant": "umbrella"}},
        "LIMITS__REQUESTS_PER_MINUTE": 100_000,
        "DRAIN_SECONDS": 0,
        **more,
    }


@pytest.fixture(scope="session")
def shared_upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    shared_upstream.plays()
    shared_upstream.forget()
    return shared_upstream


@pytest.fixture
def start_service(upstream: Upstream, tmp_path: Path) -> Iterator[StartService]:
    """Starts services with these settings on top of `settings_for`; at the end each must exit with 0 on SIGTERM.

    `ready=False` does not wait for /readyz.
    """
    started: list[Service] = []

    def start(*, ready: bool = True, **settings: Any) -> Service:
        service = Service(tmp_path, **settings_for(upstream, **settings))
        started.append(service)
        return service.wait_ready() if ready else service

    yield start
    upstream.plays()  # nothing that hangs shall keep a service from ending
    codes = [service.stop() for service in started if service.exited is None]
    assert codes == [0] * len(codes), "\n".join(service.output for service in started)


@pytest.fixture(scope="session")
def shared_service(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    # The breaker is held off: one test's faults shall not be the next one's open circuit.
    settings = settings_for(shared_upstream, GUARD__BREAKER_MINIMUM_CALLS=1_000_000, LIMITS__MAX_BODY_BYTES=65_536)
    service = Service(tmp_path_factory.mktemp("service"), **settings).wait_ready()
    yield service
    shared_upstream.plays()
    assert service.stop() == 0, service.output


@pytest.fixture
def service(shared_service: Service, upstream: Upstream) -> Service:
    return shared_service


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shared service, with a valid key."""
    async with client_of(service) as client:
        yield client


def client_of(service: Service, key: str | None = KEY, **options: Any) -> httpx2.AsyncClient:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx2.AsyncClient(base_url=service.url, headers=headers, timeout=30, **options)


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    if not Redis.available():
        pytest.skip(NO_REDIS)
    redis = Redis(tmp_path_factory.mktemp("redis"))
    yield redis
    redis.kill()


@pytest.fixture
def redis(shared_redis: Redis) -> Redis:
    return shared_redis


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis that a test may kill."""
    if not Redis.available():
        pytest.skip(NO_REDIS)
    redis = Redis(tmp_path)
    yield redis
    redis.kill()
