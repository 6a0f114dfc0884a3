"""What targets without an API of their own share: the actor, commands as sentences, requests to one revision."""

from __future__ import annotations

import getpass
import json
import math
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from typing import TypeVar

from . import TargetError, Unusable

Found = TypeVar("Found")
SMOKE = {"input": "Reply with the word ready."}
ASK_REGISTRY = {"docker": ("docker", "manifest", "inspect"), "crane": ("crane", "digest")}
ASK_LABELS = {
    "docker": ("docker", "buildx", "imagetools", "inspect", "--format={{json .Image}}"),
    "crane": ("crane", "config"),
}
DIRTY = re.compile(r'"org\.opencontainers\.image\.revision":\s*"([0-9a-f]+)-dirty"')


def actor() -> str:
    """The person of a pipeline, or the user of this machine."""
    for name in ("DEPLOY_ACTOR", "GITHUB_ACTOR", "SUDO_USER"):
        if os.environ.get(name):
            return os.environ[name]
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have a number alone
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def number(option: str, text: str) -> float:
    """The value of an option.

    Raises:
        Unusable: it is none that something can be compared with.
    """
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise Unusable(f"--{option} {text}: give a number")
    return found


def command(*words: str, given: str | None = None, seconds: float = 180) -> str:
    """The output of a command.

    Raises:
        Unusable: it is not installed.
        TargetError: it failed; the message is its last line.
    """
    try:
        # In a session of its own: a Ctrl-C is for the rollout, which decides when it may end.
        done = subprocess.run(
            words,
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            start_new_session=True,
            check=False,
        )
    except OSError as error:
        raise Unusable(f"{words[0]} is not installed, or not on PATH") from error
    except subprocess.TimeoutExpired as error:
        raise TargetError(f"{' '.join(words[:3])} has not come to an end in {seconds:g} s") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise TargetError(f"{' '.join(words[:3])}: {lines[-1]}")
    return done.stdout


def image(artifact: str, *tools: str, optional: bool = False) -> None:
    """Asks the registry for an image, by the first of these tools that is there.

    Raises:
        Unusable: it is not named by its digest, is not there, may not be read, or has what no commit has.
    """
    if not re.search(r"@sha256:[0-9a-f]{64}$", artifact):
        raise Unusable(f"{artifact}: give the image by digest (NAME@sha256:…), so that it is the same tomorrow")
    tool = next((each for each in tools if shutil.which(each)), "")
    if not tool and not optional:
        raise Unusable(f"{tools[0]} is not installed, or not on PATH")
    try:
        if tool:
            command(*ASK_REGISTRY[tool], artifact)
    except TargetError as error:
        raise Unusable(f"{artifact} is not there, or may not be read: {error}") from error
    if tool and (dirty := DIRTY.search(_labels(tool, artifact))):
        raise Unusable(f"{artifact} was built from files that differ from commit {dirty[1]}: commit them, build again")


def _labels(tool: str, artifact: str) -> str:
    """Where they stand, as JSON; empty if this tool cannot tell, such as a docker without buildx."""
    try:
        return command(*ASK_LABELS[tool], artifact)
    except TargetError:
        return ""


def status(url: str, seconds: float = 2) -> int:
    """The status of a GET; 0 without an answer."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:  # noqa: S310 http, on this machine
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, HTTPException):
        return 0


def run(url: str) -> str:
    """Asks for one run, with the key of SMOKE_KEY; gives what was wrong, or an empty string."""
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("SMOKE_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(f"{url}/v1/runs", json.dumps(SMOKE).encode(), headers)  # noqa: S310 as above
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 as above
            body = json.loads(read(answer, 60))
    except urllib.error.HTTPError as error:
        missing = " (SMOKE_KEY is the key of the smoke call)" if error.code == 401 else ""
        return f"status {error.code}{missing}: {error.read(300).decode(errors='replace')}"
    except (OSError, HTTPException, ValueError) as error:
        return f"no answer: {error}"
    return "" if isinstance(body, dict) and body.get("output") else "an answer without an output"


def read(answer: HTTPResponse, seconds: float) -> bytes:
    """The whole body; a time-out of the connection alone begins anew with each byte."""
    end, parts = time.monotonic() + seconds, []
    while part := answer.read1(65536):
        parts.append(part)
        if time.monotonic() > end:
            raise TimeoutError(f"no whole answer in {seconds:g} s")
    return b"".join(parts)


def wait(what: str, look: Callable[[], Found], seconds: float) -> Found:
    """Waits until `look` gives something true, and gives that; `what` says the opposite.

    Raises:
        TargetError: it gave nothing in time.
    """
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise TargetError(f"{what} within {seconds:g} s")
        time.sleep(0.2)
    return found
