"""The dashboards: every query of every panel has data of a service that has worked and failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from support.monitored import JOB, Monitored
from support.processes import Redis, Upstream
from support.prometheus import FOLDER, Prometheus, needs
from support.waiting import eventually

pytestmark = pytest.mark.proves("observe.dashboards")

DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "dashboards").glob("*.json"))}
QUERIES = [
    pytest.param(target["expr"], id=f"{name}: {panel['title']}: {target['refId']}")
    for name, dashboard in DASHBOARDS.items()
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
        yield prometheus


@pytest.mark.parametrize("expression", QUERIES)
def test_each_query_has_data(expression: str, prometheus: Prometheus) -> None:
    query = expression.replace("$job", JOB).replace("$__rate_interval", "1m")
    assert "$" not in query

    def values() -> list[Any]:
        return [sample for sample in prometheus.query(query) if sample["value"][1] != "NaN"]

    eventually(values, within=5, what=query)


def test_each_panel_reads_the_chosen_service_alone() -> None:
    for name, dashboard in DASHBOARDS.items():
        assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource", "job"]
        for panel in dashboard["panels"]:
            assert panel["title"], name
            assert panel["targets"], panel["title"]
            for target in panel["targets"]:
                assert target["expr"].count('job="$job"') == target["expr"].count("{"), target["expr"]
                assert target["datasource"]["uid"] == "${datasource}"


def test_each_dashboard_has_an_address_of_its_own() -> None:
    addresses = [dashboard["uid"] for dashboard in DASHBOARDS.values()]
    assert len(set(addresses)) == len(addresses) > 1
