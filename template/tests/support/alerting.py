"""Alertmanager as a real process, the pager that it calls, and rules for which a minute is a second."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from support.processes import call, free_port
from support.prometheus import FOLDER, needs, yaml
from support.waiting import eventually

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"\b(\d+)([smhd])\b")


def hurried(text: str) -> str:
    """All time spans a sixtieth as long, one second at least."""
    return _SPAN.sub(lambda span: f"{max(1, int(span[1]) * _SECONDS[span[2]] // 60)}s", text)


def hurried_rules(path: Path) -> Path:
    """alerts.yaml, written to `path` with hurried windows and patience."""
    document = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))
    for group in document["groups"]:
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"\[\w+\]", lambda window: hurried(window[0]), rule["expr"])
            if "for" in rule:
                rule["for"] = hurried(rule["for"])
    path.write_text(json.dumps(document))  # JSON is YAML
    return path


class Pager:
    """Receives Alertmanager's notifications."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        pager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                pager.alerts += json.loads(self.rfile.read(int(self.headers["content-length"])))["alerts"]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def got(self, alert: str, status: str) -> list[dict[str, Any]]:
        """The notifications of this alert that say `firing` or `resolved`."""
        return [one for one in list(self.alerts) if (one["labels"]["alertname"], one["status"]) == (alert, status)]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Alertmanager:
    """With the project's own routes, hurried, and every receiver replaced by the pager."""

    def __init__(self, folder: Path, pager: Pager) -> None:
        config = yaml.safe_load(hurried((FOLDER / "alertmanager.yaml").read_text(encoding="utf-8")))
        told = [{"url": pager.url, "send_resolved": True}]
        config["receivers"] = [{"name": one["name"], "webhook_configs": told} for one in config["receivers"]]
        (folder / "alertmanager.json").write_text(json.dumps(config))
        program = shutil.which("alertmanager") or needs("prometheus-alertmanager", "prometheus-alertmanager")
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self._log = (folder / "alertmanager.log").open("w")
        self._process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'alertmanager.json'}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address={self.address}",
                "--cluster.listen-address=",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        eventually(lambda: call("GET", f"http://{self.address}/-/ready")[0] == 200, within=30, what="it is ready")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()
