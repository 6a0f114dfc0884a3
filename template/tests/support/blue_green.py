"""The service behind a real HAProxy, as deploy/compose has it, and the scripts as they are run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.engine import stop
from support.processes import COMMAND, TESTS, call, environment, free_port
from support.waiting import eventually

PROJECT = TESTS.parent


class Stand:
    """Two colours, a proxy, and a folder in the place of deploy/compose."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.engine = folder / "compose", folder / "engine"
        (self.folder / "run").mkdir(parents=True)
        self.engine.mkdir()
        for name in ("haproxy.cfg", "compose.yaml"):
            shutil.copy(PROJECT / "deploy" / "compose" / name, self.folder)
        (self.folder / ".env").touch()
        docker = self.engine / "docker"
        # The engine is a process of its own: limits of its callers are none of its.
        engine = f'cd "{TESTS}" && exec "{sys.executable}" -m support.engine "$@"'
        docker.write_text(f"#!/bin/sh\nulimit -S -f unlimited\n{engine}\n")
        docker.chmod(0o755)
        self.images: dict[str, dict[str, str]] = {}
        ports = {name: str(free_port()) for name in ("BLUE", "GREEN")}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = environment() | {
            "PATH": f"{self.engine}:{os.environ['PATH']}",
            "ENGINE_FOLDER": str(self.engine),
            "ENGINE_COMMAND": COMMAND,
            "AUDIT_FILE": str(folder / "audit.jsonl"),
            "SMOKE_KEY": key,
            "BLUE_PORT": ports["BLUE"],
            "GREEN_PORT": ports["GREEN"],
        }
        self._proxy_environment = self.environment | {
            "RUN_FOLDER": str(self.folder / "run"),
            "PROXY_BIND": f"127.0.0.1:{self.port}",
            **{name: f"127.0.0.1:{port}" for name, port in ports.items()},
        }
        self.start_proxy()

    def start_proxy(self) -> None:
        self._proxy = subprocess.Popen(
            ["haproxy", "-db", "-f", str(self.folder / "haproxy.cfg")],
            env=self._proxy_environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(lambda: call("GET", self.url)[0], what="the proxy answers")  # 503 as long as nothing is deployed

    def stop_proxy(self) -> None:
        self._proxy.terminate()
        self._proxy.wait(20)

    def image(self, name: str, **settings: Any) -> str:
        """An image of the service with these settings, by digest."""
        digest = hashlib.sha256(name.encode()).hexdigest()
        image = f"registry.example.com/agents/service@sha256:{digest}"
        kept = {name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()}
        self.images[image] = kept
        (self.engine / "images.json").write_text(json.dumps(self.images))
        return image

    def start(self, script: str, *arguments: str, before: Callable[[], object] | None = None) -> subprocess.Popen[str]:
        """`before` is called in the new process, such as to give it less than it needs."""
        command = [sys.executable, str(PROJECT / "scripts" / f"{script}.py"), f"compose:{self.folder}", *arguments]
        return subprocess.Popen(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,
        )

    def run(self, script: str, *arguments: str, before: Callable[[], object] | None = None) -> tuple[int, str]:
        """The exit code, and what people were told, with the seconds that it took."""
        began = time.monotonic()
        process = self.start(script, *arguments, before=before)
        _, told = process.communicate(timeout=120)
        assert "Traceback" not in told, told
        print(
            f"--- {script} {' '.join(arguments)[-60:]}: exit {process.returncode} in {time.monotonic() - began:.1f} s"
        )
        print(told, end="")
        return process.returncode, told

    @property
    def running(self) -> set[str]:
        """The services that the engine has started, and not stopped."""
        return {path.stem for path in self.engine.glob("*.json")} - {"images"}

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.folder / "run" / "rollout.json").read_text())
        return state

    @property
    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in Path(self.environment["AUDIT_FILE"]).read_text().splitlines()]

    def close(self) -> None:
        for running in self.running:
            stop(running, self.engine)
        self.stop_proxy()
