"""One tenant cannot keep the others out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from conftest import OTHER_KEY, client_of, settings_for
from support.processes import Service, Upstream
from support.waiting import becomes


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
