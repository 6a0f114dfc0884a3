"""The manifests as kubectl renders them, from a copy of `deploy/kubernetes`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

Json = dict[str, Any]
FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
# Not a dependency of its own: the linters of the pipeline's files bring it.
yaml = pytest.importorskip("yaml")


def kubectl() -> int:
    """The minor version of kubectl; 0 without one."""
    if not shutil.which("kubectl"):
        return 0
    found = subprocess.run(["kubectl", "version", "--client", "--output=json"], capture_output=True, text=True)
    return int(re.sub(r"\D", "", json.loads(found.stdout)["clientVersion"]["minor"]))


def rendered(overlay: str, folder: Path, *, complete: bool) -> list[Json]:
    """The objects of an overlay as it is, or with the components too that its file offers as comments."""
    shutil.copytree(FOLDER, folder / "kubernetes")
    place = folder / "kubernetes" / "overlays" / overlay
    if complete:
        given = (place / "kustomization.yaml").read_text()
        (place / "kustomization.yaml").write_text(given.replace("  # - ../../components/", "  - ../../components/"))
    done = subprocess.run(["kubectl", "kustomize", place], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def single(name: str) -> list[Json]:
    """The objects of a file that stands for itself."""
    path = FOLDER / name
    return list(yaml.safe_load_all(path.read_text())) if path.exists() else []


def of(objects: list[Json], *kinds: str) -> dict[str, Json]:
    """The objects of these kinds, by their names."""
    return {found["metadata"]["name"]: found for found in objects if found["kind"] in kinds}


def pods(objects: list[Json]) -> dict[str, Json]:
    """The templates of the pods, by the names of what makes them."""
    return {name: found["spec"]["template"] for name, found in of(objects, "Deployment", "Job").items()}
