"""What docs/runbook.md says about the stores on AWS Lambda: its commands, against moto over HTTP."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.aws import Aws
from support.lambda_scene import FUNCTION, Scene
from support.runbook import block, line

pytestmark = pytest.mark.skipif(not shutil.which("aws"), reason="the AWS CLI is not on PATH")
PROJECT = Path(__file__).parents[2]
# Before 2.13 the AWS CLI does not read AWS_ENDPOINT_URL.
AT_MOTO = 'aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }'


def follow(commands: str, aws: Aws) -> str:
    """What they print; each has to end well."""
    told = {"AWS_DEFAULT_REGION": aws.environment["AWS_REGION"], "PYTHON": sys.executable}
    done = subprocess.run(
        ["bash", "-euc", f"{AT_MOTO}\n{commands.replace('.venv/bin/python', sys.executable)}"],
        cwd=PROJECT,
        env=os.environ | aws.environment | told,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{commands}\n{done.stderr}"
    return done.stdout


@pytest.mark.proves("ship.restore")
def test_what_the_table_has_lost_comes_back_from_a_copy_of_it(aws: Aws) -> None:
    table = aws.table_of_state()
    store = aws.client("dynamodb")
    for name in ("kept", "lost"):
        store.put_item(TableName=table, Item={"key": {"S": name}, "value": {"B": b"before"}})
    copy = block("Restore", "restore-table-to-point-in-time").replace("TABLE=…", f"TABLE={table}")
    follow(copy, aws)
    store.delete_item(TableName=table, Key={"key": {"S": "lost"}})
    store.put_item(TableName=table, Item={"key": {"S": "later"}, "value": {"B": b"after"}})
    follow(f"TABLE={table}\n{block('Restore', 'batch_writer')}", aws)
    assert {item["key"]["S"] for item in store.scan(TableName=table)["Items"]} == {"kept", "lost", "later"}


def test_aws_refuses_every_request_without_the_table(scene: Scene) -> None:
    words = shlex.split(line("Stop in five minutes", "aws lambda put-function-concurrency "))
    words[words.index("--function-name") + 1] = FUNCTION
    follow(shlex.join(words), scene.aws)
    assert scene.lambdas.get_function_concurrency(FunctionName=FUNCTION)["ReservedConcurrentExecutions"] == 0
