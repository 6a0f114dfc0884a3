"""Hostile requests."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from conftest import KEY, MODEL_KEY, StartService
from support.figures import Row
from support.hostile import requests
from support.load import Load
from support.processes import COMMAND, Service, Upstream

pytestmark = pytest.mark.chaos

MUTANTS = 400
LEAKS = re.compile(rb'Traceback|site-packages|File "|\.py\b|' + MODEL_KEY.encode())
FUZZ_SECONDS = 20


def unexpected(service: Service) -> list[str]:
    """Log lines of unexpected errors."""
    return [line for line in service.lines if "unexpected" in line or "Traceback" in line or MODEL_KEY in line]


async def answers_to(service: Service, request: bytes) -> list[bytes]:
    """Everything that the service sends until it closes the connection or is silent for a moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    received = b""
    try:
        writer.write(request)
        while piece := await asyncio.wait_for(reader.read(65_536), 2.0 if not received else 0.05):
            received += piece
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return re.split(rb"(?=HTTP/1\.1 \d{3} )", received)[1:]


@pytest.mark.proves("security.input")
@pytest.mark.proves("security.output")
async def test_hostile_corpus(upstream: Upstream, start_service: StartService, row: Row) -> None:
    """No 5xx, no secret, no stack trace for hostile bytes and 400 mutants of good requests; the service survives."""
    service = start_service(LIMITS__BODY_TIMEOUT_SECONDS=1)
    corpus = list(requests(KEY, mutants=MUTANTS))
    at_once = asyncio.Semaphore(8)

    async def send(request: bytes) -> list[bytes]:
        async with at_once:
            return await answers_to(service, request)

    given = await asyncio.gather(*map(send, corpus))
    codes = Counter(int(answer[9:12]) for answers in given for answer in answers)
    silent = sum(not answers for answers in given)
    async with Load(service.url, [KEY]) as load:
        afterwards = await load.ask()
    row.shows(requests=len(corpus), statuses=dict(sorted(codes.items())), closed_without_a_word=silent)
    for request, answers in zip(corpus, given, strict=True):
        for answer in answers:
            assert int(answer[9:12]) < 500, (request[:300], answer[:500])
            assert not LEAKS.search(answer), (request[:300], answer[:500])
    assert not unexpected(service)
    assert afterwards.status == 200


@pytest.mark.proves("security.input")
@pytest.mark.parametrize("keys", [True, False], ids=["keys", "no keys"])
def test_schemathesis_over_the_openapi_document(
    upstream: Upstream, start_service: StartService, tmp_path: Path, row: Row, keys: bool
) -> None:
    """No 5xx, no secret, no stack trace; the document is true of every request and response."""
    service = start_service() if keys else start_service(AUTH__KEYS={})
    options = [
        *("--phases=coverage,fuzzing", "--checks=all", f"--max-time={FUZZ_SECONDS}", "--seed=1"),
        # A schema cannot say what fields must have together: a tool's message its call, a cursor its page.
        "--exclude-checks=positive_data_acceptance",
        *("--generation-database=none", "--no-color", "--warnings=off"),
        *([f"--header=Authorization: Bearer {KEY}"] if keys else []),
    ]
    result = subprocess.run(
        [str(Path(COMMAND).with_name("schemathesis")), "run", *options, f"{service.url}/openapi.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    cases = re.search(r"(\d+) generated", result.stdout)
    row.shows(cases=cases[1] if cases else "none")
    assert result.returncode == 0, result.stdout + result.stderr
    assert cases, result.stdout
    assert int(cases[1]) > 100
    assert not unexpected(service)
