"""Manifests for Kubernetes: their schemas and their rights, by linters that uv runs in environments of their own."""

import shutil
import subprocess
from pathlib import Path

import pytest

from answers import DEFAULT, QUEUE, Answers, label
from conftest import Render
from test_lambda import CHECKOV, tool

VALIDATE = "kubernetes-validate==1.37.0"
VERSION = "1.34"  # of Kubernetes
# Limits of the CPU slow pods down on idle nodes, and a namespace is given when a file is applied.
SKIPPED = "CKV_K8S_11,CKV_K8S_21"
EVERYTHING: Answers = {"variants": ["gateway", "queue"], "event_broker": "rabbitmq", "secrets_source": "files"}
CASES: list[Answers] = [DEFAULT, QUEUE, EVERYTHING, {"secrets_source": "gcp"}, {"secrets_source": "vault", **QUEUE}]

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not on PATH")


@pytest.fixture(params=CASES, ids=label)
def manifests(request: pytest.FixtureRequest, render: Render, tmp_path: Path) -> Path:
    """A folder with every overlay, with every component, and the files that stand for themselves."""
    given, copied = render(request.param) / "deploy" / "kubernetes", tmp_path / "kubernetes"
    shutil.copytree(given, copied)
    shown = tmp_path / "shown"
    shown.mkdir()
    for overlay in ("staging", "production"):
        path = copied / "overlays" / overlay / "kustomization.yaml"
        path.write_text(path.read_text().replace("  # - ../../components/", "  - ../../components/"))
        done = subprocess.run(["kubectl", "kustomize", path.parent], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (shown / f"{overlay}.yaml").write_text(done.stdout)
    for path in copied.glob("*.yaml"):
        shutil.copy(path, shown)
    return shown


def test_manifests_match_the_schemas_of_kubernetes(manifests: Path) -> None:
    paths = map(str, sorted(manifests.glob("*.yaml")))
    tool("tool", "run", "--quiet", VALIDATE, "--strict", "--no-warn", "--kubernetes-version", VERSION, *paths)


def test_manifests_are_secure(manifests: Path) -> None:
    options = ("--directory=.", "--framework=kubernetes", f"--skip-check={SKIPPED}", "--compact", "--quiet")
    tool("tool", "run", "--quiet", CHECKOV, *options, "--skip-download", folder=manifests)
