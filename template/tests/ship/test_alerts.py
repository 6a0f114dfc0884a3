"""The alert rules: each fires and is silent when it should, and is in the runbook. test_monitoring.py has metrics."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.monitored import JOB
from support.prometheus import FOLDER, needs, promtool, rules, yaml

pytestmark = pytest.mark.proves("observe.alerts")

ALERTS = {alert["alert"]: alert for alert in rules("alert")}
RUNBOOK = FOLDER.parents[1] / "docs" / "runbook.md"
CASES = sorted(FOLDER.glob("*.test.yaml"))

each_alert = pytest.mark.parametrize("name", sorted(ALERTS))


def test_the_rules_are_valid() -> None:
    promtool("check", "rules", "alerts.yaml")


@pytest.mark.parametrize(
    ("severity", "environment", "receiver"),
    [
        ("page", "production", "pager"),
        ("page", "", "pager"),  # a Prometheus that does not tell environments apart
        ("page", "staging", "tickets"),
        ("ticket", "production", "tickets"),
    ],
)
def test_each_severity_reaches_its_receiver(severity: str, environment: str, receiver: str) -> None:
    amtool, path = needs("amtool", "prometheus-alertmanager"), str(FOLDER / "alertmanager.yaml")
    subprocess.run([amtool, "check-config", path], check=True, capture_output=True)
    command = [amtool, "config", "routes", "test", f"--config.file={path}", f"severity={severity}"]
    command += [f"environment={environment}"] if environment else []
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == receiver


def test_only_alerts_that_are_there_are_inhibited() -> None:
    text = (FOLDER / "alertmanager.yaml").read_text(encoding="utf-8")
    named = {name for names in re.findall(r'alertname =~? "([^"]+)"', text) for name in names.split("|")}
    assert named - set(ALERTS) == set()


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_each_alert_fires_and_is_silent_when_it_should(path: Path) -> None:
    promtool("test", "rules", path)


@each_alert
def test_it_is_shown_firing_and_silent(name: str) -> None:
    wanted = f'ALERTS{{alertname="{name}",alertstate="firing"}}'
    shown = [bool(check["exp_samples"]) for check in checks() if check["expr"] == wanted]
    assert {True, False} == set(shown)


@each_alert
def test_it_says_what_happens_and_where_the_runbook_has_it(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert set(alert["annotations"]) == {"summary", "impact", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"
    section = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert section, f"docs/runbook.md has no section {name}"
    for question in ("What it means", "How to see it", "What to do", "How to know that it worked"):
        assert f"**{question}.**" in section[1], f"{name}: {question}?"


def test_the_runbook_has_no_section_of_an_alert_that_is_not_there() -> None:
    sections = re.findall(r"^### ([A-Z]\w+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(sections) == sorted(ALERTS)


def test_all_rules_are_about_this_service() -> None:
    for rule in rules("alert") + rules("record"):
        selectors = re.findall(r"\{[^}]*\}", rule["expr"])
        assert selectors
        assert all(f'job="{JOB}"' in selector for selector in selectors), rule


def test_no_rule_adds_up_environments() -> None:
    for rule in rules("alert") + rules("record"):
        grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", rule["expr"])
        mixed = [labels for labels in grouped if not {"job", "environment"} <= set(labels.split(", "))]
        # A service without any figure has no environment either.
        assert mixed == (["job"] if "absent" in rule["expr"] else []), rule


def checks() -> list[dict[str, Any]]:
    tests = [test for path in CASES for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]]
    return [check for test in tests for check in test["promql_expr_test"]]
