"""kubectl, with sentences for what it refuses. It brings the credentials of every cloud; a client library would not."""

from __future__ import annotations

import json
from typing import Any

from . import Conflict, TargetError, Unusable, local


class Kubectl:
    """One namespace of one cluster."""

    def __init__(self, namespace: str, context: str) -> None:
        self._namespace = namespace
        self._where = ("--namespace", namespace, *(("--context", context) if context else ()))

    def place(self) -> str:
        """The context and the address of its API; inside of a cluster there is no context."""
        try:
            seen = json.loads(self.run("config", "view", "--minify", "--output=json"))
        except TargetError:
            return ""
        servers = [each["cluster"]["server"] for each in seen.get("clusters") or ()]
        return f"context {seen.get('current-context')}, {servers[0]}" if servers else ""

    def get(self, kind: str, *names: str) -> dict[str, Any]:
        """The object of a name; of several names, they are its `items`."""
        found: dict[str, Any] = json.loads(self.run("get", kind, *names, "--output=json"))
        return found

    def find(self, kind: str, name: str) -> dict[str, Any]:
        """Empty, if there is no such object, or no such kind in this cluster."""
        try:
            text = self.run("get", kind, name, "--ignore-not-found", "--output=json")
        except TargetError as error:
            if "doesn't have a resource type" in str(error):
                return {}
            raise
        found: dict[str, Any] = json.loads(text or "{}")
        return found

    def patch(self, kind: str, name: str, change: dict[str, Any], *options: str) -> None:
        self.run("patch", kind, name, "--patch", json.dumps(change), *options)

    def run(self, *words: str, given: str | None = None) -> str:
        """Its output.

        Raises:
            Conflict: the object is another one by now.
            Unusable: no such object or context, or no kubectl.
            TargetError: no access, no answer.
        """
        try:
            return local.command("kubectl", *self._where, "--request-timeout=30s", *words, given=given)
        except Unusable:
            raise
        except TargetError as error:
            text = str(error)
            if "(Conflict)" in text or "(AlreadyExists)" in text:
                raise Conflict(f"{self._namespace}: somebody else has moved the traffic ({text})") from error
            if "(NotFound)" in text or "does not exist" in text:
                raise Unusable(f"{text}; is it the right cluster? (--context)") from error
            raise
