"""Kubernetes: the Deployment NAME has the traffic, NAME-canary the share of a new revision, by kubectl.

A revision is an image by digest. The record is the ConfigMap NAME-rollout, and its resourceVersion the token: of two
changes at once one is refused. With an HTTPRoute NAME the shares are its weights; without one, replicas behind a
Service, which takes only pods labelled `rollout: serving`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from . import Revision, TargetError, Traffic, Unusable, kube_migration, kube_record, local, prometheus, record
from .kubectl import Kubectl


class Kubernetes:
    """One pair of Deployments. Credentials and addresses are those of kubectl."""

    shares = True

    def __init__(self, address: str, context: str = "", ready_seconds: str = "300", **limits: str) -> None:
        self._namespace, _, self._name = address.rpartition("/")
        if not self._namespace or not self._name:
            raise Unusable(f"kubernetes:{address}: give kubernetes:NAMESPACE/NAME")
        self._kubectl = Kubectl(self._namespace, context)
        self._canary, self._patience = f"{self._name}-canary", local.number("ready-seconds", ready_seconds)
        self._stable = self._kubectl.get("deployment", self._name)
        labels = self._stable["spec"]["template"]["metadata"].get("labels", {})
        self._worker = labels.get("app.kubernetes.io/component") == "worker"
        scope = {"namespace": self._namespace, "environment": labels.get("environment", "")}
        self._watch = prometheus.Watch(**limits, **scope)
        self._record = kube_record.Kept(self._kubectl, self._name, _image(self._stable))
        self._were_ready: dict[str, int] = {}  # pods of a Deployment that were ready at the last look

    def actor(self) -> str:
        return local.actor()

    def place(self) -> str:
        return self._kubectl.place()

    def revisions(self) -> list[Revision]:
        return record.revisions(self._record.read()[0])

    def traffic(self) -> Traffic:
        state, _ = self._record.read()
        found, route = record.traffic(state), self._route()
        stable, canary = self._kubectl.get("deployment", self._name, self._canary)["items"]
        started = canary["spec"]["template"]["metadata"].get("labels", {}).get("revision", found.main)
        if not found.canary and canary["spec"].get("replicas") and started != found.main:
            found = replace(found, canary=started)  # its deploy is under way, or was killed
        share = float(_weights(route).get(self._canary, 0)) if route else found.percent
        runs, differs = _image(stable), ""
        if runs != record.image(state, found.main):
            differs = f"{self._name} runs {runs}, and the record says {found}"
        elif share and not found.canary:
            differs = f"{self._canary} has {share:g} % of the route, and the record knows of no canary"
        return replace(found, percent=share if found.canary else found.percent, differs=differs)

    def check(self, artifact: str) -> None:
        local.image(artifact, "crane", "docker", optional=True)
        # The server says whether this user may do it, and changes nothing.
        self._kubectl.patch("deployment", self._canary, self._template(artifact, "0"), "--dry-run=server")

    def publish(self, artifact: str, schema: int, note: str) -> str:
        state, token = self._record.read()
        if record.image(state, state["main"]) == artifact:
            return str(state["main"])
        name = record.add(state, artifact, schema, note)
        self._record.write(state, token)
        kube_migration.migrate(self._kubectl, artifact)
        try:
            # One pod is enough for a smoke call; `waiting` keeps it out of the Service.
            self._kubectl.patch("deployment", self._canary, self._template(artifact, name, "waiting", replicas=1))
            self._ready(self._canary)
        except BaseException:
            self.discard(name)
            raise
        return name

    def shift(self, before: Traffic, after: Traffic) -> Traffic:
        state, token = self._record.read()
        record.note(state, before, after)
        self._record.write(state, token)  # before the traffic: who comes second is refused here
        image, stable = record.image(state, after.main), self._kubectl.get("deployment", self._name)
        if after.canary:
            return self._part(after, state, stable["spec"].get("replicas", 1))
        if after.moves[0].action != "deploy":
            self._weigh(0)  # the canary loses its callers at once, whatever has to start
        if _image(stable) != image:
            self._kubectl.patch("deployment", self._name, self._template(image, after.main, "serving"))
            self._ready(self._name)
        self._weigh(0)
        self.discard(after.main)
        return self.traffic()

    def discard(self, revision: str) -> None:
        self._kubectl.patch("deployment", self._canary, {"spec": {"replicas": 0}})

    def smoke(self, revision: str) -> str:
        state, _ = self._record.read()
        names = {state["main"]: self._name}
        canary = self._kubectl.get("deployment", self._canary)
        if canary["spec"].get("replicas") and _image(canary) == record.image(state, revision):
            names[revision] = self._canary
        if revision not in names:
            return ""  # a rollback starts it, and waits until it is ready
        program = self._stable["metadata"]["labels"]["app.kubernetes.io/name"]
        # A worker answers no caller: whether its settings reach everything is what it can be asked.
        asked = (program, "config", "check") if self._worker else (program, "smoke", "http://127.0.0.1:8000")
        key = ("sh", "-c", 'SMOKE_KEY=$(cat) exec "$0" "$@"')  # by stdin, so that no process list shows it
        try:
            where = f"deployment/{names[revision]}"
            self._kubectl.run("exec", "--stdin", where, "--", *key, *asked, given=os.environ.get("SMOKE_KEY", ""))
        except TargetError as error:
            return str(error)
        return ""

    def gates(self, revision: str) -> dict[str, bool]:
        state, _ = self._record.read()
        name = self._name if revision == state["main"] else self._canary
        status = self._kubectl.get("deployment", name).get("status", {})
        pods, ready = status.get("replicas", 0), status.get("readyReplicas", 0)
        # Fewer than there were: a pod that an autoscaler has just added is not ready yet.
        found = {"ready": ready < min(pods, self._were_ready.get(name, pods))}
        self._were_ready[name] = ready
        return found | self._watch.gates(name, worker=self._worker)

    def _part(self, after: Traffic, state: dict[str, Any], pods: int) -> Traffic:
        """A share for the canary. By replicas it is at least one pod's, which may be more than was asked."""
        more = max(1, round(pods * after.percent / (100 - after.percent)))
        self._kubectl.patch(
            "deployment",
            self._canary,
            self._template(record.image(state, after.canary), after.canary, "serving", replicas=more),
        )
        self._ready(self._canary)
        if self._weigh(after.percent):
            return self.traffic()
        state["percent"] = round(100 * more / (more + pods), 1)
        self._record.write(state, self._record.read()[1])
        return self.traffic()

    def _weigh(self, percent: float) -> bool:
        """Sets the weights of the route; false where there is none."""
        if not (route := self._route()):
            return False
        share = {self._canary: round(percent), f"{self._name}-stable": 100 - round(percent)}
        for rule in route["spec"]["rules"]:
            for backend in rule.get("backendRefs", ()):
                backend["weight"] = share.get(backend["name"], backend.get("weight", 1))
        version = route["metadata"]["resourceVersion"]
        change = {"metadata": {"resourceVersion": version}, "spec": {"rules": route["spec"]["rules"]}}
        self._kubectl.patch("httproute", self._name, change, "--type=merge")
        return True

    def _route(self) -> dict[str, Any]:
        return self._kubectl.find("httproute", self._name)

    def _ready(self, name: str) -> None:
        def there() -> bool:
            found = self._kubectl.get("deployment", name)
            # As many as are wanted by now: an autoscaler may change its mind meanwhile.
            pods, status = found["spec"].get("replicas", 1), found.get("status", {})
            seen = status.get("observedGeneration", 0) >= found["metadata"].get("generation", 0)
            counts = [status.get(count, 0) for count in ("replicas", "updatedReplicas", "readyReplicas")]
            self._were_ready[name] = pods
            return seen and counts == [pods] * 3

        local.wait(f"{name} was not ready", there, self._patience)

    def _template(self, image: str, revision: str, label: str = "waiting", **spec: int) -> dict[str, Any]:
        container = self._stable["spec"]["template"]["spec"]["containers"][0]["name"]
        labels = {"rollout": label, "revision": revision}
        return {
            "spec": {
                **spec,
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": container, "image": image}]},
                },
            }
        }


def _image(deployment: dict[str, Any]) -> str:
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


def _weights(route: dict[str, Any]) -> dict[str, int]:
    backends = [backend for rule in route["spec"]["rules"] for backend in rule.get("backendRefs", ())]
    return {backend["name"]: backend.get("weight", 1) for backend in backends}
