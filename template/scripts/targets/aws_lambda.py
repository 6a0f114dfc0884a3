"""AWS Lambda: a revision is a published version, the traffic goes through the alias `live`.

Two deploys at once: code and alias are changed only in the state that was read (RevisionId); the second is refused.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from . import Conflict, Revision, TargetError, Unusable

ALIAS = "live"
ONCE = Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 1})
AGAIN = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 3, "mode": "standard"})
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: a larger one has to come from S3
DIRECT_LIMIT = 50 * 1024 * 1024
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

    def __init__(self, function: str, *, smoke: str, bucket: str = "") -> None:
        self.function, self._payload, self._bucket = function, json.dumps(SMOKE[smoke]), bucket
        with sentences(function):
            # boto3 by itself looks at AWS_DEFAULT_REGION alone.
            self._session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
            client = self._session.client
            # Writes are not repeated: one whose answer got lost would look like somebody else's.
            self._writes, self._reads = client("lambda", config=ONCE), client("lambda", config=AGAIN)
            self._watch = client("cloudwatch", config=AGAIN)
        self._alias: dict[str, Any] = {}

    def actor(self) -> str:
        with sentences(self.function):
            return str(self._session.client("sts", config=AGAIN).get_caller_identity()["Arn"])

    def revisions(self) -> list[Revision]:
        with sentences(self.function):
            pages = self._reads.get_paginator("list_versions_by_function").paginate(FunctionName=self.function)
            versions = [version for page in pages for version in page["Versions"] if version["Version"] != "$LATEST"]
        versions.sort(key=lambda version: int(version["Version"]))
        return [Revision(each["Version"], each["LastModified"], each["CodeSha256"]) for each in versions]

    def traffic(self) -> dict[str, float]:
        with sentences(self.function):
            self._alias = self._reads.get_alias(FunctionName=self.function, Name=ALIAS)
        weights: dict[str, float] = (self._alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        shares = {version: round(weight * 100, 2) for version, weight in weights.items()}
        return {self._alias["FunctionVersion"]: round(100 - sum(shares.values()), 2), **shares}

    def previous(self) -> str:
        history, current = self._history(), self._alias["FunctionVersion"]
        if len(history) > 1:
            return history[1]
        # Shifted by CodeDeploy, which keeps no history in the alias: then the one that was published before.
        older = [revision.name for revision in self.revisions() if int(revision.name) < int(current)]
        if not older:
            raise Unusable(f"{self.function}: nothing was published before {current}")
        return older[-1]

    def publish(self, artifact: str) -> str:
        code = self._code(artifact)
        with sentences(self.function):
            state = self._reads.get_function_configuration(FunctionName=self.function)
            sent = self._writes.update_function_code(FunctionName=self.function, RevisionId=state["RevisionId"], **code)
            # Not function_updated_v2: it asks for the right to GetFunction, which gives the code away.
            self._reads.get_waiter("function_updated").wait(FunctionName=self.function)
            # With the digest: code that somebody else has put there since is not published under our name.
            published = self._writes.publish_version(FunctionName=self.function, CodeSha256=sent["CodeSha256"])
            # With SnapStart this takes minutes: the snapshot is made now.
            version = str(published["Version"])
            self._reads.get_waiter("published_version_active").wait(FunctionName=self.function, Qualifier=version)
        return version

    def shift(self, old: str, new: str, percent: float) -> None:
        whole = percent >= 100
        with sentences(self.function):
            self._alias = self._writes.update_alias(
                FunctionName=self.function,
                Name=ALIAS,
                FunctionVersion=new if whole else old,
                RoutingConfig={"AdditionalVersionWeights": {} if whole else {new: percent / 100}},
                Description="live: " + " ".join(self._history_with(new) if whole else self._history()),
                RevisionId=self._alias["RevisionId"],
            )

    def smoke(self, revision: str) -> str:
        with sentences(self.function):
            answer = self._writes.invoke(FunctionName=self.function, Qualifier=revision, Payload=self._payload)
            text = answer["Payload"].read().decode(errors="replace")
        if answer.get("FunctionError"):
            return f"{answer['FunctionError']}: {text[:500]}"
        try:
            body = json.loads(text)
        except ValueError:
            body = None
        good = isinstance(body, dict) and (body.get("output") or body.get("batchItemFailures") == [])
        return "" if good else f"neither an output nor a done batch: {text[:500]}"

    def alarms(self) -> dict[str, bool]:
        with sentences(self.function):
            pages = self._watch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{self.function}-")
            found = [alarm for page in pages for alarm in page["MetricAlarms"]]
        return {alarm["AlarmName"]: alarm["StateValue"] == "ALARM" for alarm in found}

    def _history(self) -> list[str]:
        """The versions that had all the traffic, the newest first, as far as it was noted in the alias."""
        current = self._alias["FunctionVersion"]
        noted = re.findall(r"\d+", self._alias.get("Description") or "")
        return noted if noted[:1] == [current] else [current]

    def _history_with(self, version: str) -> list[str]:
        """The history after this version has got all the traffic; going back forgets what came after it."""
        history = self._history()
        if version in history:
            return history[history.index(version) :]
        return [version, *history][:20] if int(version) > int(history[0]) else [version]

    def _code(self, artifact: str) -> dict[str, Any]:
        """What of update_function_code's parameters says where the code is."""
        if artifact.startswith("s3://"):
            bucket, _, key = artifact.removeprefix("s3://").partition("/")
            return {"S3Bucket": bucket, "S3Key": key}
        if not artifact.endswith(".zip"):
            return {"ImageUri": artifact}
        path = Path(artifact)
        if not path.is_file():
            raise Unusable(f"{artifact} is not there; make package builds it")
        if self._bucket:
            # Named after its contents: another deploy's upload is another object.
            where = {"Bucket": self._bucket, "Key": f"{sha256(path.read_bytes()).hexdigest()}/{path.name}"}
            with sentences(self.function), path.open("rb") as body:
                self._session.client("s3", config=ONCE).put_object(**where, Body=body)
            return {"S3Bucket": where["Bucket"], "S3Key": where["Key"]}
        if path.stat().st_size > DIRECT_LIMIT:
            raise Unusable(f"{artifact} is larger than the 50 MB that Lambda takes directly; give it a --bucket")
        return {"ZipFile": path.read_bytes()}


@contextmanager
def sentences(function: str) -> Iterator[None]:
    """Turns what boto3 raises into a TargetError with a sentence."""
    try:
        yield
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code in ("PreconditionFailedException", "ResourceConflictException") or "CodeSHA256" in message:
            raise Conflict(f"{function}: somebody else changes it at this moment ({message})") from error
        match code:
            case "ResourceNotFoundException" | "NoSuchBucket" | "InvalidParameterValueException":
                raise Unusable(f"{function}: {message}") from error
            case _:
                raise TargetError(f"{function}: AWS refused {error.operation_name} ({code}: {message})") from error
    except (NoCredentialsError, NoRegionError) as error:
        raise Unusable(f"{function}: {error} (AWS_REGION, AWS_PROFILE and their like say who and where)") from error
    except BotoCoreError as error:
        raise TargetError(f"{function}: AWS was not reached or has not come to an end: {error}") from error
