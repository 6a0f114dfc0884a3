"""The deployment record of a pair of Deployments: the ConfigMap NAME-rollout."""

from __future__ import annotations

import json
from typing import Any

from . import record
from .kubectl import Kubectl


class Kept:
    """Each change names the version that it changes: of two at once, the API refuses one."""

    def __init__(self, kubectl: Kubectl, name: str, runs: str) -> None:
        self._kubectl, self._name, self._runs = kubectl, f"{name}-rollout", runs

    def read(self) -> tuple[dict[str, Any], str]:
        """The record and its version; before the first deploy, what runs is the first revision.

        Raises:
            TargetError: what is there is no record.
        """
        found = self._kubectl.find("configmap", self._name)
        kept, way_out = found.get("data", {}).get("record"), "look at it, and delete it; what runs begins another one"
        state = record.parsed(kept, f"the ConfigMap {self._name}", way_out) if kept else record.empty("")
        if not state["main"]:
            state["main"] = record.add(state, self._runs, 0, "found running")
            state["history"] = [state["main"]]
        return state, found.get("metadata", {}).get("resourceVersion", "")

    def write(self, state: dict[str, Any], version: str) -> None:
        """Keeps the record.

        Raises:
            Conflict: it is not the one that was read.
        """
        data = {"record": json.dumps(state, indent=1)}
        if not version:
            metadata = {"name": self._name}
            created = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            self._kubectl.run("create", "--validate=false", "--filename=-", given=json.dumps(created))
            return
        change = {"metadata": {"resourceVersion": version}, "data": data}
        self._kubectl.patch("configmap", self._name, change, "--type=merge")
