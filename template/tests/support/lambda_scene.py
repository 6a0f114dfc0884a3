"""A Lambda function to be deployed to, and the scripts as they are run. A pytest plugin."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.aws import Aws
from support.lambda_front import LambdaFront

SCRIPTS = Path(__file__).parents[2] / "scripts"
FUNCTION = "agent-api"
ADDRESS = f"lambda:{FUNCTION}"
ALARM = f"{FUNCTION}-errors"


class Scene:
    """A function whose alias `live` is at version 1, an alarm that is quiet, and the scripts."""

    def __init__(self, aws: Aws, front: LambdaFront, folder: Path) -> None:
        self.aws, self.front, self.folder = aws, front, folder
        self.lambdas, self.watch = aws.client("lambda"), aws.client("cloudwatch")
        self.environment = os.environ | {"AWS_ENDPOINT_URL": front.url, "AUDIT_FILE": str(folder / "audit.jsonl")}
        trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}]}
        iam = aws.client("iam")
        role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        code = {"ZipFile": self.zip("1").read_bytes()}
        self.lambdas.create_function(FunctionName=FUNCTION, Role=role, Code=code, Runtime="python3.13", Handler="a.b")
        self.lambdas.publish_version(FunctionName=FUNCTION)
        self.lambdas.create_alias(FunctionName=FUNCTION, Name="live", FunctionVersion="1")
        self.alarm(ALARM)
        self.ring("OK")

    def alarm(self, name: str, function: str = FUNCTION) -> None:
        self.watch.put_metric_alarm(
            AlarmName=name, MetricName="Errors", Namespace="AWS/Lambda", Statistic="Sum", Period=60,
            Dimensions=[{"Name": "FunctionName", "Value": function}],
            EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold",
        )  # fmt: skip

    def ring(self, state: str = "ALARM", name: str = ALARM) -> None:
        self.watch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="test")

    def zip(self, content: str) -> Path:
        path = self.folder / f"{content}.zip"
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            archive.writestr(zipfile.ZipInfo("a.py"), content)
        path.write_bytes(held.getvalue())
        return path

    def start(self, script: str, *arguments: str, before: Callable[[], object] | None = None) -> subprocess.Popen[str]:
        command = [sys.executable, str(SCRIPTS / f"{script}.py"), *arguments]
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        return subprocess.Popen(
            command, env=self.environment, stdin=nothing, stdout=pipe, stderr=pipe, text=True, preexec_fn=before
        )

    def run(self, script: str, *arguments: str) -> tuple[int, str]:
        process = self.start(script, *arguments)
        _, told = process.communicate(timeout=60)
        assert "Traceback" not in told, told
        return process.returncode, told

    def deploy(self, content: str = "2", *options: str) -> tuple[int, str]:
        return self.run("deploy", ADDRESS, str(self.zip(content)), "--seconds", "0.2", *options)

    def rollback(self, *options: str) -> tuple[int, str]:
        return self.run("rollback", ADDRESS, *options)

    @property
    def live(self) -> tuple[str, dict[str, float]]:
        alias = self.lambdas.get_alias(FunctionName=FUNCTION, Name="live")
        return alias["FunctionVersion"], (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights", {})

    @property
    def versions(self) -> list[str]:
        found = self.lambdas.list_versions_by_function(FunctionName=FUNCTION)["Versions"]
        return [version["Version"] for version in found if version["Version"] != "$LATEST"]

    @property
    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "audit.jsonl").read_text().splitlines()]


@pytest.fixture
def scene(aws: Aws, tmp_path: Path) -> Iterator[Scene]:
    front = LambdaFront(aws.url)
    yield Scene(aws, front, tmp_path)
    front.stop()
