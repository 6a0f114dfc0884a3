"""AWS Lambda: a revision is a published version, the traffic goes through the alias `live`.

Two deploys at once: code and alias are changed only in the state that was read (RevisionId); the second is refused.
History and the last move are in the alias' description; schema, author and reason of a revision in the version's.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from . import Conflict, Move, Revision, TargetError, Traffic, Unusable
from .aws_artifact import ONCE, check, code

ALIAS = "live"
AGAIN = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 3, "mode": "standard"})
DESCRIPTION_LIMIT = 256
MOVE = re.compile(
    r"\| (?P<action>[a-z ]+) (?P<before>\d+)>(?P<revision>\d+) (?P<at>\S+) (?P<actor>\S*) ?(?P<reason>.*)"
)
# What a smoke call sends: a run, paid like any other, or a message that names no task, which looks into the table.
SMOKE: dict[str, dict[str, Any]] = {
    "run": {"input": "Reply with the word ready.", "tenant": "smoke"},
    "message": {
        "Records": [
            {
                "messageId": "smoke",
                "receiptHandle": "smoke",
                "eventSource": "aws:sqs",
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "0"},
                "body": json.dumps({"tenant": "smoke", "id": "smoke"}),
            }
        ]
    },
}


class AwsLambda:
    """One function. Credentials, region and endpoint come from the standard AWS variables and files."""

    shares = True

    def __init__(self, function: str, bucket: str = "") -> None:
        self.function, self._bucket = function, bucket
        with sentences(function):
            # boto3 by itself looks at AWS_DEFAULT_REGION alone.
            self._session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
            client = self._session.client
            # Writes are not repeated: one whose answer got lost would look like somebody else's.
            self._writes, self._reads = client("lambda", config=ONCE), client("lambda", config=AGAIN)
            self._watch = client("cloudwatch", config=AGAIN)

    def actor(self) -> str:
        with sentences(self.function):
            return str(self._session.client("sts", config=AGAIN).get_caller_identity()["Arn"])

    def place(self) -> str:
        return f"account {self.actor().split(':')[4]}, {self._session.region_name}"

    def revisions(self) -> list[Revision]:
        return [_revision(version) for version in self._versions()]

    def traffic(self) -> Traffic:
        with sentences(self.function):
            return _traffic(self._reads.get_alias(FunctionName=self.function, Name=ALIAS))

    def check(self, artifact: str) -> None:
        with sentences(self.function, artifact):
            check(self._session, artifact, self._bucket)

    def publish(self, artifact: str, schema: int, note: str) -> str:
        with sentences(self.function, artifact):
            where = code(self._session, artifact, self._bucket)
            state = self._reads.get_function_configuration(FunctionName=self.function)
            sent = self._writes.update_function_code(
                FunctionName=self.function, RevisionId=state["RevisionId"], **where
            )
            # Not function_updated_v2: it asks for the right to GetFunction, which gives the code away.
            self._reads.get_waiter("function_updated").wait(FunctionName=self.function)
            # With the digest: code that somebody else has put there since is not published under our name.
            published = self._writes.publish_version(
                FunctionName=self.function,
                CodeSha256=sent["CodeSha256"],
                Description=f"schema {schema}; {note}"[:DESCRIPTION_LIMIT],
            )
            # With SnapStart this takes minutes: the snapshot is made now.
            version = str(published["Version"])
            self._reads.get_waiter("published_version_active").wait(FunctionName=self.function, Qualifier=version)
        return version

    def shift(self, before: Traffic, after: Traffic) -> Traffic:
        with sentences(self.function):
            alias = self._writes.update_alias(
                FunctionName=self.function,
                Name=ALIAS,
                FunctionVersion=after.main,
                RoutingConfig={"AdditionalVersionWeights": {after.canary: after.percent / 100} if after.canary else {}},
                Description=_described(after),
                RevisionId=before.token,
            )
        return _traffic(alias)

    def discard(self, revision: str) -> None:
        """A version costs nothing without traffic, and stays to be looked at."""

    def smoke(self, revision: str) -> str:
        work = next((_work(each) for each in self._versions() if each["Version"] == revision), "run")
        with sentences(self.function):
            answer = self._writes.invoke(
                FunctionName=self.function, Qualifier=revision, Payload=json.dumps(SMOKE[work])
            )
            text = answer["Payload"].read().decode(errors="replace")
        if answer.get("FunctionError"):
            return f"{answer['FunctionError']}: {text[:500]}"
        try:
            body = json.loads(text)
        except ValueError:
            body = None
        good = isinstance(body, dict) and (body.get("output") or body.get("batchItemFailures") == [])
        return "" if good else f"neither an output nor a done batch: {text[:500]}"

    def gates(self, revision: str) -> dict[str, bool]:
        """Alarms that are named after the function and measure it: another function's name may begin with this one."""
        with sentences(self.function):
            pages = self._watch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{self.function}-")
            alarms = [alarm for page in pages for alarm in page["MetricAlarms"]]
        return {alarm["AlarmName"]: alarm["StateValue"] == "ALARM" for alarm in alarms if self._measured_by(alarm)}

    def _versions(self) -> list[dict[str, Any]]:
        """All published ones, the oldest first."""
        with sentences(self.function):
            pages = self._reads.get_paginator("list_versions_by_function").paginate(FunctionName=self.function)
            found = [version for page in pages for version in page["Versions"] if version["Version"] != "$LATEST"]
        return sorted(found, key=lambda version: int(version["Version"]))

    def _measured_by(self, alarm: dict[str, Any]) -> bool:
        metrics = [alarm, *(each.get("MetricStat", {}).get("Metric", {}) for each in alarm.get("Metrics", ()))]
        found = {(each["Name"], each["Value"]) for metric in metrics for each in metric.get("Dimensions", ())}
        return ("FunctionName", self.function) in found


def _work(configuration: dict[str, Any]) -> str:
    """Which smoke call a function can answer, by its handler: of the zip, or in the image's command."""
    image = configuration.get("ImageConfigResponse", {}).get("ImageConfig", {}).get("Command", [])
    handler = " ".join([configuration.get("Handler") or "", *image])
    return "message" if handler.endswith(".worker.handler") else "run"


def _traffic(alias: dict[str, Any]) -> Traffic:
    current, text = alias["FunctionVersion"], alias.get("Description") or ""
    weights: dict[str, float] = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    [(canary, weight)] = weights.items() or [("", 0.0)]
    # What CodeDeploy has shifted since stands before what was noted.
    noted = re.findall(r"\d+", text.partition("|")[0]) if text.startswith("live:") else []
    known = noted[noted.index(current) :] if current in noted else [current, *noted]
    last = MOVE.search(text) if noted[:1] == [current] else None
    moves = (Move(**last.groupdict()),) if last else ()
    return Traffic(current, canary, round(weight * 100, 2), tuple(known), moves, alias["RevisionId"])


def _described(traffic: Traffic) -> str:
    move = traffic.moves[0]
    who = re.sub(r"\s", "", move.actor.rpartition(":")[2])
    last = f"| {move.action} {move.before}>{move.revision} {move.at} {who} {move.reason}"
    return f"live: {' '.join(traffic.history[:20] or [traffic.main])} {last}"[:DESCRIPTION_LIMIT]


def _revision(version: dict[str, Any]) -> Revision:
    noted = re.match(r"schema (\d+); ?(.*)", version.get("Description") or "")
    schema, note = (int(noted[1]), noted[2]) if noted else (0, "")
    return Revision(version["Version"], version["LastModified"], version["CodeSha256"], schema, note)


@contextmanager
def sentences(function: str, artifact: str = "") -> Iterator[None]:
    """Turns what boto3 raises into a TargetError with a sentence."""
    try:
        yield
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code in ("PreconditionFailedException", "ResourceConflictException") or "CodeSHA256" in message:
            raise Conflict(f"{function}: somebody else changes it at this moment ({message})") from error
        match code:
            case "404" | "NoSuchBucket" | "NoSuchKey" | "ImageNotFoundException" | "RepositoryNotFoundException":
                raise Unusable(f"{artifact} is not there ({message})") from error
            case "ResourceNotFoundException" | "InvalidParameterValueException":
                raise Unusable(f"{function}: {message}") from error
            case _:
                raise TargetError(f"{function}: AWS refused {error.operation_name} ({code}: {message})") from error
    except (NoCredentialsError, NoRegionError, InvalidRegionError, ProfileNotFound, PartialCredentialsError) as error:
        raise Unusable(f"{function}: {error} (AWS_REGION, AWS_PROFILE and their like say who and where)") from error
    except BotoCoreError as error:
        raise TargetError(f"{function}: AWS was not reached or has not come to an end: {error}") from error
