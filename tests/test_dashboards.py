"""The dashboards in the template are what their script builds."""

import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, UV, clean_environment

KEPT = ROOT / "template" / "deploy" / "observability" / "dashboards"


def test_the_dashboards_are_built_by_their_script(tmp_path: Path) -> None:
    command: list[str | Path] = [UV, "run", "--quiet", "--script", ROOT / "scripts" / "dashboards.py", tmp_path]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
    if "grafana-foundation-sdk" in done.stderr:
        pytest.skip(f"uv cannot install the SDK here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    built = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in KEPT.iterdir()}
    assert built == kept, "run scripts/dashboards.py"
