"""What tests/support/kube_api.py knows of objects: their kinds, how patches merge, and how a refusal looks."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
KINDS = {
    "/api/v1": {"configmaps": "ConfigMap", "pods": "Pod"},
    "/apis/apps/v1": {"deployments": "Deployment"},
    "/apis/batch/v1": {"jobs": "Job"},
    "/apis/gateway.networking.k8s.io/v1": {"httproutes": "HTTPRoute"},
}


def image_of(found: Json) -> str:
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def merged(now: Any, change: Any) -> Any:
    if isinstance(now, dict) and isinstance(change, dict):
        for key, value in change.items():
            now[key] = merged(now.get(key), value)
        return now
    if isinstance(now, list) and isinstance(change, list) and all("name" in each for each in [*now, *change]):
        changes = {each["name"]: each for each in change}
        return [merged(each, changes.get(each["name"], {})) for each in now]
    return change


def discovered(path: str) -> Json | None:
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = [each.split("/")[2] for each in KINDS if each.startswith("/apis")]
        versions = [(group, {"groupVersion": f"{group}/v1", "version": "v1"}) for group in groups]
        listed = [{"name": group, "versions": [version], "preferredVersion": version} for group, version in versions]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    if path in KINDS:
        verbs = ["get", "list", "create", "patch", "delete"]
        kinds = [
            {"name": name, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": verbs}
            for name, kind in KINDS[path].items()
        ]
        group = path.removeprefix("/apis/").removeprefix("/api/")
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": kinds}
    return None


def failed(code: int, reason: str, message: str) -> tuple[int, Json]:
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return code, status | {"reason": reason, "message": message, "code": code}
