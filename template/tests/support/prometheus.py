"""Prometheus and its tools as real processes, from Debian: `apt-get install prometheus prometheus-alertmanager`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from support.processes import call, free_port
from support.waiting import eventually

ENVIRONMENT = "staging"  # what a Prometheus of the tests scrapes
FOLDER = Path(__file__).parents[2] / "deploy" / "observability"
# Not a dependency of its own: the linters of the pipeline's files bring it.
yaml = pytest.importorskip("yaml")

_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_SYNTAX = re.compile(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\boffset \w+|\b(by|on|group_left|without)\s*\([^)]*\)')
_OPERATORS = {"and", "or", "unless"}


def needs(program: str, package: str) -> str:
    """The path of a program; without it the test is skipped."""
    if (found := shutil.which(program)) is None:
        pytest.skip(f"{program} is not on PATH (Debian: apt-get install {package}); CI has it")
    return found


def promtool(*arguments: str | Path) -> str:
    """The output of promtool, which must succeed."""
    command = [needs("promtool", "prometheus"), *arguments]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules(kind: str) -> list[dict[str, Any]]:
    """All rules of alerts.yaml that are of the kind `alert` or `record`."""
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def dashboards() -> dict[str, dict[str, Any]]:
    """The dashboards by name."""
    files = sorted((FOLDER / "dashboards").glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def metrics_of(expression: str) -> set[str]:
    """The names of the metrics that a PromQL expression reads."""
    bare = _SYNTAX.sub(" ", expression)
    return {
        word[0]
        for word in _WORD.finditer(bare)
        if not bare[word.end() :].lstrip().startswith("(") and word[0] not in _OPERATORS
    }


class Prometheus:
    """A server that scrapes `targets` (host:port) each second, and evaluates `rules_file`."""

    def __init__(
        self, folder: Path, job: str, targets: Sequence[str], rules_file: Path, alertmanager: str | None = None
    ) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        scraped = {"targets": list(targets), "labels": {"environment": ENVIRONMENT}}
        config: dict[str, Any] = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules_file)],
            "scrape_configs": [{"job_name": job, "static_configs": [scraped]}],
        }
        if alertmanager:
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
        (folder / "prometheus.json").write_text(json.dumps(config))  # JSON is YAML
        self._log = (folder / "prometheus.log").open("w")
        self._process = subprocess.Popen(
            [
                needs("prometheus", "prometheus"),
                f"--config.file={folder / 'prometheus.json'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        eventually(lambda: call("GET", f"{self.url}/-/ready")[0] == 200, within=30, what="Prometheus is ready")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query, now."""
        status, body = call("GET", f"{self.url}/api/v1/query?{urlencode({'query': expression})}")
        assert status == 200, f"{expression}\n{body.decode()}"
        result: list[dict[str, Any]] = json.loads(body)["data"]["result"]
        return result

    def names(self) -> set[str]:
        """The names of all metrics that were scraped or recorded."""
        return set(json.loads(call("GET", f"{self.url}/api/v1/label/__name__/values")[1])["data"])

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()
