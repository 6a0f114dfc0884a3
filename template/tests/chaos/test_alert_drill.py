"""A drill of the alerts: the model is down, and somebody is told; it is back, and they are told that as well."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from support.alerting import Alertmanager, Pager, hurried_rules
from support.figures import Row
from support.monitored import JOB, Monitored
from support.processes import Redis, Upstream
from support.prometheus import Prometheus, needs
from support.waiting import eventually

pytestmark = pytest.mark.chaos

EXPECTED = ["AvailabilityBudgetBurnsFast", "BreakerOpen"]


@pytest.fixture
def pager() -> Iterator[Pager]:
    pager = Pager()
    yield pager
    pager.stop()


@pytest.mark.proves("observe.alerts")
def test_a_model_that_is_down_reaches_the_pager(
    upstream: Upstream, redis: Redis, pager: Pager, tmp_path: Path, row: Row
) -> None:
    """With real Prometheus and Alertmanager, and rules whose minutes are seconds: the pager gets the alerts of an
    outage of all models, with their sections of the runbook, none before it, and their end after it."""
    needs("prometheus", "prometheus")
    with ExitStack() as stack:
        alertmanager = Alertmanager(tmp_path, pager)
        stack.callback(alertmanager.stop)
        service = Monitored(
            upstream, redis, tmp_path, GUARD__BREAKER_MINIMUM_CALLS=10, GUARD__BREAKER_OPEN_SECONDS=2, GUARD__ATTEMPTS=1
        )
        stack.callback(service.stop)
        rules = hurried_rules(tmp_path / "rules.json")
        prometheus = Prometheus(tmp_path, JOB, service.targets, rules, alertmanager.address)
        stack.callback(prometheus.stop)
        stack.enter_context(_callers(service, 2))
        healthy = f'slo_availability:errors:ratio_rate5m{{job="{JOB}"}} == 0'
        eventually(lambda: prometheus.query(healthy), within=20, what="it is watched, and without errors")
        before = [alert for name in EXPECTED for alert in pager.got(name, "firing")]
        upstream.plays({"fault": "status"})
        told = {name: _waited(pager, name, "firing") for name in EXPECTED}
        upstream.plays()
        ended = {name: _waited(pager, name, "resolved") for name in EXPECTED}
    row.shows(**{f"{name} after": f"{seconds:.0f} s" for name, seconds in told.items()})
    row.shows(all_ended_after=f"{sum(ended.values()):.0f} s")
    assert before == []
    for name in EXPECTED:
        assert pager.got(name, "firing")[0]["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def _waited(pager: Pager, alert: str, status: str) -> float:
    """The seconds until the pager had this alert with this status."""
    began = time.monotonic()
    eventually(lambda: pager.got(alert, status), within=90, what=f"the pager gets {alert}, {status}")
    return time.monotonic() - began


@contextmanager
def _callers(service: Monitored, number: int) -> Iterator[None]:
    """Ten runs a second of each caller, until the end of the block."""
    over = threading.Event()

    def asks() -> None:
        while not over.wait(0.1):
            service.asks()

    callers = [threading.Thread(target=asks) for _ in range(number)]
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        over.set()
        for caller in callers:
            caller.join()
