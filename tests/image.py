"""Builds a rendered Dockerfile without a daemon and without a registry, and runs the image as an orchestrator would.

buildah builds it, on a Debian made by debootstrap instead of the base images (build arguments). The image runs in its
own mount namespace: read-only root, /tmp in memory, an unprivileged user id, no capabilities.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from conftest import ROOT

STORAGE = ROOT / ".tools" / "images"
BUILDAH = ["buildah", "--root", str(STORAGE), "--runroot", str(STORAGE / "run"), "--storage-driver", "vfs"]
BASE = "localhost/stand-in-for-base:1"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

# $1 is the root; the other arguments are the variables and the command for `env -i`.
ENTER = """
root=$1; shift
mount --bind "$root" "$root"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind /dev "$root/dev"
mount -o remount,bind,ro "$root"
exec chroot --userspec="$USER_IDS" "$root" /usr/bin/env -i "$@"
"""


def why_not() -> str:
    """The reason why this machine cannot build images; empty if it can."""
    if os.geteuid() != 0:
        return "building an image without a daemon needs root (CI runs as root)"
    missing = [tool for tool in ("buildah", "debootstrap", "unshare") if not shutil.which(tool)]
    return f"not installed: {', '.join(missing)} (.ci/run installs them)" if missing else ""


def buildah(*arguments: str | Path) -> str:
    done = subprocess.run([*BUILDAH, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"buildah {' '.join(map(str, arguments))}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout.strip()


def make_base(folder: Path) -> None:
    """Makes a minimal Debian image with Python, once per clone."""
    if buildah("images", "--quiet", "--filter", f"reference={BASE}"):
        return
    root = folder / "base"
    packages = "--include=python3,python3-venv,ca-certificates"
    subprocess.run(
        ["debootstrap", "--variant=minbase", packages, "stable", root], check=True, stdout=subprocess.DEVNULL
    )
    # Like a company's base image, it has this machine's certificates: the package index may need them.
    shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
    container = buildah("from", "scratch")
    buildah("copy", "--quiet", container, root, "/")
    buildah("commit", "--quiet", "--rm", container, BASE)
    shutil.rmtree(root)


class Image:
    """A built image, unpacked."""

    def __init__(self, project: Path, name: str) -> None:
        bases = [f"--build-arg={stage}_IMAGE={BASE}" for stage in ("BUILDER", "RUNTIME")]
        options = ["--isolation=chroot", "--network=host", "--format=docker", "--pull-never", *bases]
        buildah("bud", "--quiet", *options, "--tag", name, project)
        inspected = json.loads(buildah("inspect", "--type", "image", name))
        self.config: dict[str, Any] = inspected["Docker"]["config"]
        self.container = buildah("from", "--pull-never", name)
        self.root = Path(buildah("mount", self.container))

    def start(self, command: list[str], **settings: str) -> subprocess.Popen[str]:
        """Start a command with the image's environment and these additional settings."""
        variables = [*self.config["Env"], *(f"{name}={value}" for name, value in settings.items())]
        return subprocess.Popen(
            ["unshare", "--mount", "sh", "-euc", ENTER, "sh", self.root, *variables, *command],
            env=os.environ | {"USER_IDS": self.config["User"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: list[str], **settings: str) -> tuple[int, str]:
        """Run a command to its end; returns its exit code and output."""
        with self.start(command, **settings) as process:
            output, _ = process.communicate(timeout=30)
            return process.returncode, output

    def remove(self) -> None:
        buildah("rm", self.container)
