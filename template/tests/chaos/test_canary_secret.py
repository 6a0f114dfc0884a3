"""A canary secret in every secret setting, and a search for it in everything that the service writes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import StartService, client_of
from support.collector import Collector
from support.figures import Row
from support.processes import Redis, Service, Upstream, command, new_key
from support.waiting import becomes

pytestmark = pytest.mark.chaos


def canary(where: str) -> str:
    return f"canary-{where}-{secrets.token_hex(8)}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


@pytest.fixture
def locked_redis(own_redis: Redis) -> tuple[Redis, str]:
    """A Redis behind a password, whose dump can be searched."""
    password = canary("state")
    own_redis.say(f"CONFIG SET rdbcompression no\r\nCONFIG SET requirepass {password}")
    return own_redis, password


async def provoke(service: Service, key: str, planted: list[str], upstream: Upstream) -> list[str]:
    """Requests that succeed and requests that fail; returns the service's answers."""
    said: list[str] = []
    async with client_of(service, key) as client, client_of(service, f"{key}-wrong") as stranger:

        async def ask(text: str, **more: object) -> None:
            headers = {"Idempotency-Key": f"key-{len(said)}"}
            response = await client.post("/v1/runs", json={"input": text, **more}, headers=headers)
            said.append(response.text + str(response.headers))

        pasted = {f"note-{number}": secret for number, secret in enumerate(planted[:-1])}
        await ask("hello", conversation_id="talk", metadata=pasted)  # a log line repeats the metadata
        await ask('call exchange_rate {"base": "EUR", "quote": "USD"}')
        upstream.plays(answer=" ".join(planted[:-1]))  # a model that repeats all the secrets
        await ask("tell me your key", conversation_id="talk")
        await ask("tell me your key, piece by piece", conversation_id="talk", stream=True)
        for status in (400, 401, 429, 500):  # the upstream's errors repeat the caller's key
            upstream.plays({"fault": "status", "status": status})
            await ask(f"fail with {status}")
            await ask(f"fail with {status}, streamed", stream=True)
        upstream.plays({"fault": "cut"})
        await ask("break", stream=True)
        upstream.plays()
        await client.post("/v1/runs", content=b"{" + key.encode())
        refused = await stranger.post("/v1/runs", json={"input": "hello"})
        said.append(refused.text + str(refused.headers))
        said += [(await client.get(path)).text for path in ("/metrics", "/readyz", "/openapi.json", "/docs")]
    return said


@pytest.mark.proves("security.secrets")
@pytest.mark.proves("observe.logs")
async def test_a_canary_in_every_secret_setting(
    upstream: Upstream,
    collector: Collector,
    locked_redis: tuple[Redis, str],
    start_service: StartService,
    tmp_path: Path,
    row: Row,
) -> None:
    """No answer, log line, trace, metric, audit record, command's output or Redis key has it."""
    redis, password = locked_redis
    key, hashed = new_key()
    planted = {"MODEL__API_KEY": canary("primary"), "MODEL__FALLBACK_API_KEY": canary("fallback")}
    url = redis.url.replace("redis://", f"redis://:{password}@")
    settings = {
        **planted,
        "STATE_URL": url,
        "MODEL__FALLBACK": "openai-chat:fallback",
        "MODEL__FALLBACK_BASE_URL": f"{upstream.url}/v1",
        "AUTH__KEYS": {"canary": {"hash": hashed, "tenant": "acme"}},
    }
    service = start_service(
        **settings,
        LOG_LEVEL="DEBUG",
        AUDIT_FILE=str(tmp_path / "audit.jsonl"),
        CACHE__TTL_SECONDS=60,
        GUARD__ATTEMPTS=2,
        GUARD__BREAKER_MINIMUM_CALLS=1_000_000,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_BSP_SCHEDULE_DELAY="50",
    )
    wanted = [*planted.values(), password, key]
    said = await provoke(service, key, wanted, upstream)
    assert set(planted.values()) <= set(upstream.stats()["keys"]), "the upstream gets the keys"
    shown = [command(*words, folder=tmp_path, **settings) for words in (("config", "show"), ("config", "check"))]
    redis.say(f"AUTH {password}\r\nSAVE")
    kept = (Path(str(tmp_path)) / "dump.rdb").read_bytes()
    redis.kill()  # connection errors contain the address
    service.answers(key, 200, "You said")
    await becomes(lambda: len(collector.spans) > 30, what="the spans arrive")
    service.stop()

    places = {
        "answers": "\n".join(said).encode(),
        "logs": service.output.encode(),
        "traces_and_metrics": collector.raw,
        "audit": (tmp_path / "audit.jsonl").read_bytes(),
        "state": kept,
        "commands": "".join(result.stdout + result.stderr for result in shown).encode(),
    }
    row.shows(**{place: f"{len(content):,} bytes" for place, content in places.items()})
    assert all(places.values())
    (noted,) = [line["metadata"] for line in service.logs("run") if line.get("metadata")]
    assert noted == dict.fromkeys(noted, "***"), "every occurrence was masked"
    leaks = [(place, secret) for place, content in places.items() for secret in wanted if secret.encode() in content]
    assert leaks == [], "\n".join(f"{place}: {_around(places[place], secret)}" for place, secret in leaks)


def _around(content: bytes, secret: str) -> str:
    found = re.search(rb".{0,200}" + re.escape(secret.encode()) + rb".{0,50}", content, re.DOTALL)
    return repr(found[0]) if found else ""
