"""Stores the last outcome of each test in .readiness.json, for `make readiness`. A pytest plugin (see conftest.py).

A run of some of the tests leaves what is known of the others.
"""

from __future__ import annotations

import json
from collections.abc import Generator

import pytest

FILE = ".readiness.json"
OUTCOMES = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[OUTCOMES] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    outcomes = item.config.stash[OUTCOMES]
    if report.failed or (report.when == "call" and outcomes.get(item.nodeid) != "failed") or report.skipped:
        outcomes[item.nodeid] = report.outcome
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.rootpath / FILE
    outcomes = session.config.stash[OUTCOMES]
    if not outcomes:
        return
    earlier = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**earlier, **outcomes}, indent=0, sort_keys=True))
