"""One tenant cannot keep the others out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from conftest import OTHER_KEY, client_of, settings_for
from support.processes import Service, Upstream
from support.waiting import becomes


@pytest.mark.proves("pattern.bulkhead")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_tenant_whose_calls_fill_the_models_bulkhead_keeps_no_other_out(
    upstream: Upstream, tmp_path: Path, stream: bool
) -> None:
    service = Service(tmp_path, **settings_for(upstream, GUARD__MAX_CONCURRENT=4, LIMITS__MAX_IN_FLIGHT=8)).wait_ready()
    upstream.plays(latency=1.5)
    body = {"input": "hello", "stream": stream}
    async with client_of(service) as busy, client_of(service, OTHER_KEY) as other:
        working = [asyncio.create_task(busy.post("/v1/runs", json=body)) for _ in range(4)]
        await becomes(lambda: upstream.stats()["open"] == 4)
        assert (await busy.post("/v1/runs", json=body)).status_code == 503
        assert (await other.post("/v1/runs", json=body)).status_code == 200
        assert [(await task).status_code for task in working] == [200] * 4
    assert service.stop() == 0


@pytest.mark.proves("pattern.bulkhead")
async def test_a_tenant_that_fills_all_places_keeps_no_other_out(upstream: Upstream, tmp_path: Path) -> None:
    service = Service(tmp_path, **settings_for(upstream, LIMITS__MAX_IN_FLIGHT=2)).wait_ready()
    upstream.plays(latency=1.5)
    async with client_of(service) as busy, client_of(service, OTHER_KEY) as other:
        working = [asyncio.create_task(busy.post("/v1/runs", json={"input": "hello"})) for _ in range(2)]
        await becomes(lambda: upstream.stats()["open"] == 2)
        assert (await other.get("/v1/models")).status_code == 200
        assert (await busy.get("/v1/models")).status_code == 503
        assert [(await task).status_code for task in working] == [200, 200]
    assert service.stop() == 0
