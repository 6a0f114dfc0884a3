"""The dashboards: each shows what is chosen alone. test_monitoring.py has the data of their queries."""

from __future__ import annotations

import pytest

from support.prometheus import dashboards

pytestmark = pytest.mark.proves("observe.dashboards")


def test_each_panel_reads_the_chosen_service_and_environment_alone() -> None:
    for name, dashboard in dashboards().items():
        variables = [variable["name"] for variable in dashboard["templating"]["list"]]
        assert variables == ["datasource", "job", "environment"]
        for panel in dashboard["panels"]:
            assert panel["title"], name
            assert panel["targets"], panel["title"]
            for target in panel["targets"]:
                chosen = 'job="$job",environment="$environment"'
                assert target["expr"].count(chosen) == target["expr"].count("{"), target["expr"]
                assert target["datasource"]["uid"] == "${datasource}"


def test_each_dashboard_has_an_address_of_its_own() -> None:
    addresses = [dashboard["uid"] for dashboard in dashboards().values()]
    assert len(set(addresses)) == len(addresses) > 1
