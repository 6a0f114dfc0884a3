"""What alerts and dashboards read is there: Prometheus scrapes a service that has worked and failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from support.monitored import JOB, Monitored
from support.processes import Redis, Upstream
from support.prometheus import ENVIRONMENT, FOLDER, Prometheus, dashboards, metrics_of, needs, rules
from support.waiting import eventually

ALERTS = {alert["alert"]: alert for alert in rules("alert")}
QUERIES = [
    pytest.param(target["expr"], id=f"{name}: {panel['title']}: {target['refId']}")
    for name, dashboard in dashboards().items()
    for panel in dashboard["panels"]
    for target in panel["targets"]
]


@pytest.fixture(scope="module")
def prometheus(
    shared_upstream: Upstream, shared_redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    needs("prometheus", "prometheus")
    folder = tmp_path_factory.mktemp("monitored")
    with ExitStack() as stack:
        service = Monitored(shared_upstream, shared_redis, folder)
        stack.callback(service.stop)
        prometheus = Prometheus(folder, JOB, service.targets, FOLDER / "alerts.yaml")
        stack.callback(prometheus.stop)
        service.works()
        runs = f'agent_run_duration_seconds_count{{job="{JOB}",outcome="model-unavailable"}}'
        eventually(lambda: prometheus.query(runs), what="it is scraped")
        service.works()  # again, since a rate needs a first value
        eventually(lambda: prometheus.query(f"rate({runs}[1m]) > 0"), what="it is scraped again")
        for objective in ("availability", "latency"):  # the latter only if a bucket ends at the objective
            recorded = f"slo_{objective}:errors:ratio_rate5m"
            eventually(lambda recorded=recorded: prometheus.query(recorded), within=30, what=f"{recorded} has a value")  # type: ignore[misc]
        yield prometheus


@pytest.fixture(scope="module")
def exported(prometheus: Prometheus) -> set[str]:
    """The names of what Prometheus has."""
    return prometheus.names()


@pytest.mark.proves("observe.dashboards")
@pytest.mark.parametrize("expression", QUERIES)
def test_each_query_has_data(expression: str, prometheus: Prometheus) -> None:
    query = expression.replace("$job", JOB).replace("$environment", ENVIRONMENT).replace("$__rate_interval", "1m")
    assert "$" not in query

    def values() -> list[Any]:
        return [sample for sample in prometheus.query(query) if sample["value"][1] != "NaN"]

    eventually(values, within=5, what=query)


@pytest.mark.proves("observe.alerts")
@pytest.mark.parametrize("name", sorted(ALERTS))
def test_the_metrics_of_each_alert_are_exported(name: str, exported: set[str]) -> None:
    assert metrics_of(ALERTS[name]["expr"]) - exported == set()


@pytest.mark.proves("observe.alerts")
def test_the_metrics_of_the_objectives_are_exported(exported: set[str]) -> None:
    assert set().union(*(metrics_of(rule["expr"]) for rule in rules("record"))) - exported == set()
