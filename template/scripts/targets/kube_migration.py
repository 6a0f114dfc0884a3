"""The Job of deploy/kubernetes/migrate.yaml, which changes the tables of the queue before a new revision starts."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import Conflict, TargetError, local
from .kubectl import Kubectl

MANIFEST = Path(__file__).parents[2] / "deploy" / "kubernetes" / "migrate.yaml"
SECONDS = 660  # the Job gives up after ten minutes
ENDS = ("Complete", "Failed")


def migrate(kubectl: Kubectl, image: str) -> None:
    """Runs the Job with this image, and waits for its end. A service without a queue has none.

    Raises:
        Conflict: somebody else has started one meanwhile.
        TargetError: it failed; the message has its last lines.
    """
    if not MANIFEST.exists():
        return
    job = kubectl.run("set", "image", "--local", f"--filename={MANIFEST}", f"*={image}", "--output=json")
    name = str(json.loads(job)["metadata"]["name"])
    # The one before is a record of its deploy, for a day; a Job cannot be changed.
    kubectl.run("delete", "job", name, "--ignore-not-found", "--wait=false")
    local.wait(f"the Job {name} of an earlier deploy was not gone", lambda: not kubectl.find("job", name), 60)
    mine = _identity(json.loads(kubectl.run("create", "--validate=false", "--filename=-", "--output=json", given=job)))

    def ended() -> str:
        found = kubectl.find("job", name)
        if _identity(found) != mine:
            raise Conflict(f"{name}: somebody else migrates at this moment")
        conditions = found.get("status", {}).get("conditions", ())
        return next((each["type"] for each in conditions if each["status"] == "True" and each["type"] in ENDS), "")

    end = local.wait(f"the Job {name} had not ended", ended, SECONDS)
    if end == "Failed":
        raise TargetError(f"the Job {name} failed, and nothing was started: {_last_lines(kubectl, name)}")


def _identity(job: dict[str, Any]) -> str:
    return str(job.get("metadata", {}).get("uid", ""))


def _last_lines(kubectl: Kubectl, name: str) -> str:
    with suppress(TargetError):
        if text := kubectl.run("logs", f"job/{name}", "--tail=3").strip():
            return text
    return "no pod of it has said anything"
