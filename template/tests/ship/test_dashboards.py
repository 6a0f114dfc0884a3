"""The dashboards: each shows the chosen service alone. test_monitoring.py has the data of their queries."""

from __future__ import annotations

import pytest

from support.prometheus import dashboards

pytestmark = pytest.mark.proves("observe.dashboards")


def test_each_panel_reads_the_chosen_service_alone() -> None:
    for name, dashboard in dashboards().items():
        assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource", "job"]
        for panel in dashboard["panels"]:
            assert panel["title"], name
            assert panel["targets"], panel["title"]
            for target in panel["targets"]:
                assert target["expr"].count('job="$job"') == target["expr"].count("{"), target["expr"]
                assert target["datasource"]["uid"] == "${datasource}"


def test_each_dashboard_has_an_address_of_its_own() -> None:
    addresses = [dashboard["uid"] for dashboard in dashboards().values()]
    assert len(set(addresses)) == len(addresses) > 1
