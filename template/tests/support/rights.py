"""Calls to AWS and the rights that they need. moto asks for none, so the calls are written down and compared with the
policies.

    calls = Calls(tmp_path)
    run(environment=calls.environment)
    refused(calls.rights(), allowed)    # what an account of AWS would refuse
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

RECORDER = Path(__file__).parent / "recorder"
FREE = {"sts:GetCallerIdentity"}  # AWS asks for no right
# Actions that are called otherwise than their operation.
ACTIONS = {"lambda:Invoke": "lambda:InvokeFunction"}


class Right(NamedTuple):
    """An action on a resource: of a call, as AWS would name it."""

    action: str
    resource: str


class Calls:
    """The calls of processes that were started with this environment."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "calls.jsonl"
        self._file.touch()
        self.environment = {"PYTHONPATH": str(RECORDER), "RECORDED_CALLS": str(self._file)}

    def rights(self) -> set[Right]:
        """The rights that the calls so far needed."""
        lines = self._file.read_text(encoding="utf-8").splitlines()
        return {right for line in lines for right in needed(*json.loads(line)) if right.action not in FREE}


def needed(service: str, operation: str, parameters: dict[str, Any]) -> Iterable[Right]:
    """The rights that a call needs. https://docs.aws.amazon.com/service-authorization/latest/reference/"""
    action = f"{service}:{operation}"
    yield Right(ACTIONS.get(action, action), _resource(service, parameters))
    if "S3Bucket" in parameters:  # Lambda reads the code with the caller's rights
        yield Right("s3:GetObject", f"arn:aws:s3:::{parameters['S3Bucket']}/{parameters['S3Key']}")


def refused(rights: Iterable[Right], allowed: Iterable[Right]) -> list[Right]:
    """The rights that no statement gives. A `*` in an allowed resource stands for anything."""
    given = list(allowed)
    return sorted(
        right
        for right in rights
        if not any(right.action == each.action and fnmatchcase(right.resource, each.resource) for each in given)
    )


def _resource(service: str, parameters: dict[str, Any]) -> str:
    match service:
        case "lambda":
            # A version and an alias are resources of their own beside their function.
            qualifier = parameters.get("Qualifier")
            name = f"{parameters['FunctionName']}:{qualifier}" if qualifier else parameters["FunctionName"]
            return f"arn:aws:lambda:REGION:ACCOUNT:function:{name}"
        case "s3":
            return f"arn:aws:s3:::{parameters['Bucket']}/{parameters['Key']}"
        case "dynamodb":
            index = parameters.get("IndexName")
            return f"{parameters['TableName']}/index/{index}" if index else str(parameters["TableName"])
        case "sqs":
            return str(parameters["QueueUrl"])
        case "secretsmanager":
            return str(parameters["SecretId"])
        case _:
            return "*"
