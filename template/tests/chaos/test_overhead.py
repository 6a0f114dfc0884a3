"""The cost of the whole path of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.figures import Row
from support.processes import environment

pytestmark = pytest.mark.chaos

SILENT = {"OTEL_SDK_DISABLED": "true", "LOG_LEVEL": "ERROR"}


def measured(folder: Path, **settings: object) -> dict[str, float]:
    """Milliseconds of CPU; see overhead.py."""
    command = [sys.executable, str(Path(__file__).with_name("overhead.py"))]
    result = subprocess.run(command, cwd=folder, env=environment(**settings), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    figures: dict[str, float] = json.loads(result.stdout)
    return figures


def test_overhead_of_the_whole_path(tmp_path: Path, row: Row) -> None:
    """The goal is 0.5 ms of CPU per run on top of the bare agent call. The test asserts a share of that call, since it
    does not depend on the machine: under a third with metrics and logs, under a quarter without."""
    full, silent = measured(tmp_path), measured(tmp_path, **SILENT)
    row.shows(
        bare_run=f"{full['bare']:.2f} ms",
        whole_path=f"{full['whole']:.2f} ms",
        overhead=f"{full['overhead']:.2f} ms",
        without_metrics_and_logs=f"{silent['overhead']:.2f} ms",
        of_it_the_guard_and_deadline=f"{silent['guard']:.3f} ms",
    )
    assert full["overhead"] < full["bare"] / 3
    assert silent["overhead"] < silent["bare"] / 4
