"""What a Lambda function is made from: a zip here or in S3, or an image in ECR."""

from __future__ import annotations

import re
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from botocore.config import Config

from . import Unusable

ONCE = Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 1})
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: a larger one has to come from S3
DIRECT_LIMIT = 50 * 1024 * 1024
IMAGE = re.compile(r"(\d{12})\.dkr\.ecr\.([\w-]+)\.[\w.]+/([^:@]+)(?:@(sha256:[0-9a-f]{64})|:([\w.-]+))$")


def check(session: Any, artifact: str, bucket: str) -> None:
    """Looks for it, and changes nothing.

    Raises:
        Unusable: it is not there, or is no artifact.
        ClientError: AWS' own "no such key" and "no such image".
    """
    if artifact.startswith("s3://"):
        session.client("s3", config=ONCE).head_object(**_in_s3(artifact, ("Bucket", "Key")))
    elif artifact.endswith(".zip"):
        _zip(artifact, bucket)
    elif image := IMAGE.match(artifact):
        account, region, repository, digest, tag = image.groups()
        chosen = {"imageDigest": digest} if digest else {"imageTag": tag}
        session.client("ecr", region_name=region, config=ONCE).describe_images(
            registryId=account, repositoryName=repository, imageIds=[chosen]
        )
    else:
        raise Unusable(f"{artifact} is no artifact: give a .zip, s3://BUCKET/KEY or an image in ECR")


def code(session: Any, artifact: str, bucket: str) -> dict[str, Any]:
    """What of update_function_code's parameters says where the code is."""
    if artifact.startswith("s3://"):
        return _in_s3(artifact, ("S3Bucket", "S3Key"))
    if not artifact.endswith(".zip"):
        return {"ImageUri": artifact}
    path = _zip(artifact, bucket)
    if not bucket:
        return {"ZipFile": path.read_bytes()}
    # Named after its contents: another deploy's upload is another object.
    key = f"{sha256(path.read_bytes()).hexdigest()}/{path.name}"
    with path.open("rb") as body:
        session.client("s3", config=ONCE).put_object(Bucket=bucket, Key=key, Body=body)
    return {"S3Bucket": bucket, "S3Key": key}


def _in_s3(artifact: str, names: tuple[str, str]) -> dict[str, str]:
    bucket, _, key = artifact.removeprefix("s3://").partition("/")
    return dict(zip(names, (bucket, key), strict=True))


def _zip(artifact: str, bucket: str) -> Path:
    path = Path(artifact)
    if not path.is_file():
        raise Unusable(f"{artifact} is not there; make package builds it")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            noted = archive.comment.decode(errors="replace")
        if noted.endswith("-dirty"):
            raise Unusable(f"{artifact} was built from files that no commit has ({noted}): commit them, make package")
    if not bucket and path.stat().st_size > DIRECT_LIMIT:
        raise Unusable(f"{artifact} is larger than the 50 MB that Lambda takes directly; give it a --bucket")
    return path
