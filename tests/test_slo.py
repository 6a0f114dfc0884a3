"""Objectives: the numbers of the SRE workbook, matchers that match, and refusals that say what is accepted."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import slo
from substituted import TEMPLATE, template


@pytest.mark.parametrize(
    ("percent", "budget", "minutes"),
    [(99.9, "0.001", "43.2"), (99.99, "0.0001", "4.3"), (99.5, "0.005", "216"), (95, "0.05", "2160")],
)
def test_the_error_budget_is_exact(percent: float, budget: str, minutes: str) -> None:
    assert slo.error_budget(percent) == Decimal(budget)
    assert slo.error_budget_minutes(percent) == minutes


def test_the_fast_alert_burns_as_the_workbook_says() -> None:
    assert slo.burns("slo_x", "a", 99.9, slo.FAST) == (
        '(slo_x:errors:ratio_rate1h{job="a"} > 0.0144\n  and slo_x:errors:ratio_rate5m{job="a"} > 0.0144)\n'
        "or\n"
        '(slo_x:errors:ratio_rate6h{job="a"} > 0.006\n  and slo_x:errors:ratio_rate30m{job="a"} > 0.006)'
    )


def test_the_slow_alert_burns_as_the_workbook_says() -> None:
    windows = re.findall(r"rate(\w+)\{job=\"a\"\} > ([\d.]+)", slo.burns("slo_x", "a", 99, slo.SLOW))
    assert windows == [("1d", "0.03"), ("2h", "0.03"), ("3d", "0.01"), ("6h", "0.01")]


@given(st.floats(95, 99.99))
def test_every_accepted_objective_can_be_missed_fast_enough_for_every_alert(percent: float) -> None:
    assert slo.availability_problem(percent) == ""
    limits = re.findall(r"> ([\d.]+)", slo.burns("slo_x", "a", percent, slo.FAST + slo.SLOW))
    assert len(limits) == 8
    assert all(0 < float(limit) < 1 for limit in limits)


@given(st.floats(0.005, 3600))
def test_the_bucket_is_matched_as_either_prometheus_writes_it(seconds: float) -> None:
    assert slo.latency_problem(seconds) == ""
    operator, pattern = re.fullmatch(r'le(=~?)"(.*)"', slo.bucket(seconds)).groups()  # type: ignore[union-attr]
    written = {slo.number(seconds), slo.number(seconds) + ".0" * seconds.is_integer()}
    for text in written:
        assert re.fullmatch(pattern, text) if operator == "=~" else pattern == text
        assert float(text) == seconds
    assert not re.fullmatch(pattern, slo.number(seconds) + "0" if operator == "=~" else "")


@pytest.mark.parametrize("http", [True, False])
def test_every_window_of_an_alert_is_recorded(http: bool) -> None:
    for indicator in (slo.availability("a", http=http), slo.latency("a", 10, http=http)):
        recorded = {name for name, _ in slo.recordings("slo_x", indicator)}
        read = set(re.findall(r"slo_x:errors:ratio_rate\w+", slo.burns("slo_x", "a", 99.9, slo.FAST + slo.SLOW)))
        assert read == recorded


def test_a_counter_goes_on_where_its_last_step_ended() -> None:
    assert slo.counter((0, 10), (2.5, 4), (0, 3)) == "0+0x9 0+2.5x3 10+0x2"


@pytest.mark.parametrize("percent", [94.9, 100, 99.991, float("nan"), float("inf")])
def test_an_objective_out_of_reach_is_refused(percent: float) -> None:
    assert "such as 99.9" in slo.availability_problem(percent)


@pytest.mark.parametrize("seconds", [0, -1, 0.001, 3601, float("nan"), float("inf")])
def test_a_latency_that_means_nothing_is_refused(seconds: float) -> None:
    assert "such as 10" in slo.latency_problem(seconds)


@pytest.mark.parametrize(("percent", "seconds"), [(99.9, 10.0), (99.5, 2.75), (95, 3600), (99.99, 0.005)])
def test_a_rollout_is_stopped_by_what_sets_off_the_fast_alert(percent: float, seconds: float) -> None:
    limits: dict[str, float] = {}
    source = template(TEMPLATE / "scripts" / "targets" / "limits.py.jinja")
    exec(source.render(slo_availability=percent, slo_latency_seconds=seconds), limits)
    [alert] = set(re.findall(r"rate1h\{job=\"a\"\} > ([\d.]+)", slo.burns("slo_x", "a", percent, slo.FAST)))
    assert Decimal(str(limits["ERRORS"])) == Decimal(alert) * 100
    assert limits["LATENCY"] == seconds
