"""Requests a second of one gateway process with everything on, beside a bare endpoint with the same agent.

Both are CPU-bound: the model server answers at once. Rounds alternate, so that a busy machine slows both.
"""

import asyncio
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from first_answer import free_port
from load import Load, round_of
from timing import environment, render, row

HERE = Path(__file__).parent
ROUNDS, SECONDS, CONNECTIONS = 5, 6.0, 16
KEY = "bench-key-that-guards-nothing"
SETTINGS = {
    "MODEL__PRIMARY": "openai-chat:instant",
    "MODEL__API_KEY": "none",
    "STATE_URL": "memory://",
    "AUTH__KEYS": json.dumps(
        {"bench": {"hash": f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}", "tenant": "bench"}}
    ),
    # Counted, but never reached.
    "LIMITS__REQUESTS_PER_MINUTE": "100000000",
    "BUDGET__TOKENS_PER_DAY": "100000000000",
    "BUDGET__USD_PER_DAY": "1000000",
}


@dataclass
class Server:
    """One of the two that are compared."""

    name: str
    port: int
    pid: int
    rounds: list[Load] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)  # a request, by round

    def measure(self, number: int) -> None:
        before = cpu_seconds(self.pid)
        load = asyncio.run(round_of(self.port, request(number), SECONDS, CONNECTIONS))
        if number:  # the first round warms up
            self.rounds.append(load)
            self.cpu_ms.append((cpu_seconds(self.pid) - before) / load.count * 1_000)

    def report(self) -> None:
        figures = {
            name: statistics.median(getattr(load, name) for load in self.rounds) for name in ("p50_ms", "p99_ms")
        }
        failed = sum(load.failed for load in self.rounds)
        cpu = statistics.median(self.cpu_ms)
        rate = statistics.median(load.per_second for load in self.rounds)
        latency = f"{figures['p50_ms']:.0f} ms median, {figures['p99_ms']:.0f} ms p99"
        row(self.name, f"{rate:.0f} /s", f"{cpu:.1f} ms CPU, {latency}, {failed} failed")


def measure(template: Path, folder: Path) -> None:
    project = folder / "gateway"
    render(template, project, "gateway")
    commands = environment(project / ".venv", "--constraint", project / "requirements.lock", project)
    upstream, bare, service = free_port(), free_port(), free_port()
    address = f"http://127.0.0.1:{upstream}/v1"
    settings = SETTINGS | {"MODEL__BASE_URL": address, "PORT": str(service)}
    with ExitStack() as stack:
        start = stack.enter_context
        start(process(folder, "upstream", sys.executable, HERE / "upstream.py", str(upstream)))
        its = start(process(folder, "bare", commands / "python", HERE / "bare.py", str(bare), UPSTREAM=address))
        ours = start(process(folder, "service", commands / "my-agent", "serve", **settings))
        wait_for(f"http://127.0.0.1:{bare}/docs")
        wait_for(f"http://127.0.0.1:{service}/readyz")
        one = Server("bare FastAPI + pydantic-ai", bare, its.pid)
        other = Server("gateway: auth, limits, budget, logs, metrics, guard", service, ours.pid)
        for number in range(ROUNDS + 1):
            one.measure(number)
            other.measure(number)
    one.report()
    other.report()
    shares = [mine.per_second / his.per_second for mine, his in zip(other.rounds, one.rounds, strict=True)]
    spread = f"{min(shares):.2f} to {max(shares):.2f} (to reach: 0.85)"
    row("  the gateway's share of requests a second", f"{statistics.median(shares):.2f}", spread)
    by_cpu = statistics.median(one.cpu_ms) / statistics.median(other.cpu_ms)
    row("  the same by CPU a request", f"{by_cpu:.2f}", "the steadier figure on a busy machine")


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used (proc(5): fields 14 and 15 of its stat, in clock ticks)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def request(number: int) -> bytes:
    body = json.dumps({"input": f"What is the news of day {number}?"}).encode()
    head = f"POST /v1/runs HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nAuthorization: Bearer {KEY}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def process(folder: Path, name: str, *command: str | Path, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A server that writes into a file and is stopped at the end."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    with (folder / f"{name}.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=kept | variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield server
        except BaseException:
            print((folder / f"{name}.log").read_text()[-2_000:], file=sys.stderr)
            raise
        finally:
            server.kill()
            server.wait()


def wait_for(address: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{address} did not answer within 60 s")
