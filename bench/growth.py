"""What a request costs as keys, records and tasks become more: flat or logarithmic, or something is wrong.

State is in memory, where growth shows in the process itself; tasks are in SQLite. CPU times are the gateway's.
"""

import hashlib
import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from endpoints import KEY, Endpoint, model_server, ours
from first_answer import free_port
from load import Load, load
from servers import OTHERS, cpu_seconds, memory_mib, process, wait_for
from sizes import Size
from timing import installed, row

PROBES, CONNECTIONS = 300, 4
LONGEST_SECONDS = 1_800  # of filling
MOST = 10_000  # of what costs a whole run each, or a line of the configuration
RUN = json.dumps({"input": "What is the news of day %d?"})
CACHED = json.dumps({"input": "What is the news?"})
CONVERSATION = json.dumps({"input": "What is the news?", "conversation_id": "c-%d"})


@dataclass
class Point:
    """What a request costs with so many."""

    number: int
    cpu_ms: float
    p50_ms: float
    p99_ms: float
    mib: float


@dataclass
class Service:
    """A gateway whose records grow."""

    endpoint: Endpoint
    pid: int
    has: int = 0
    done: int = 0

    def send(self, body: str, path: str, requests: int, **options: Any) -> Load:
        address = f"http://127.0.0.1:{self.endpoint.port}{path}"
        return load(address, body, LONGEST_SECONDS, CONNECTIONS, KEY, requests=requests, **options)

    def fill(self, number: int, body: str, path: str, **options: Any) -> None:
        if number > self.has:
            self.has += self.send(body, path, number - self.has, **options).count

    def grown(self, number: int, body: str, path: str, **options: Any) -> Point:
        """What a request costs once there are so many."""
        self.fill(number, body, path, **options)
        self.has += PROBES + PROBES // 10
        return self.probe(number, body, path, **options)

    def probe(self, number: int, body: str, path: str, **options: Any) -> Point:
        self.send(body, path, PROBES // 10, **options)  # warms up
        before = cpu_seconds(self.pid)
        gave = self.send(body, path, PROBES, **options)
        cpu = 1_000 * (cpu_seconds(self.pid) - before) / gave.count
        if gave.failed:
            raise RuntimeError(f"{gave.failed} of {gave.count} requests failed at {number:,} ({path}).")
        return Point(number, cpu, gave.p50_ms, gave.p99_ms, memory_mib(self.pid))

    def work(self, project: Path, folder: Path) -> None:
        """Has a worker do all tasks."""
        port = free_port()
        command = (project / ".venv" / "bin" / "my-agent", "work")
        variables = self.endpoint.variables | {"PORT": str(port), "QUEUE__CONCURRENCY": "32"}
        with process(folder, "worker", *command, cores=OTHERS, **variables) as worker:
            wait_for(f"http://127.0.0.1:{port}/readyz", worker, folder / "worker.log")
            while completed(port) < self.has - self.done:
                time.sleep(0.5)
        self.done = self.has


def completed(port: int) -> float:
    """How many tasks the worker with this port has completed."""
    scraped = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    [count] = [line.split()[-1] for line in scraped.splitlines() if line.startswith('tasks_total{outcome="completed"')]
    return float(count)


def measure(template: Path, folder: Path, size: Size) -> dict[str, Any]:
    project = installed(template, folder, "gateway", "queue")
    found: dict[str, list[Point]] = {}
    with ExitStack() as stack:
        upstream = stack.enter_context(model_server(folder, project))
        for what, points in measurements(project, folder, upstream, size):
            found[what] = points
            for point in points:
                latency = f"p50 {point.p50_ms:.1f} ms, p99 {point.p99_ms:.1f} ms, {point.mib:.0f} MiB"
                row(f"{point.number:,} {what}", f"{point.cpu_ms:.2f} ms CPU", latency)
    return {"lines": plots_of(found)}


def measurements(project: Path, folder: Path, upstream: str, size: Size) -> Iterator[tuple[str, list[Point]]]:
    few = [number for number in size.growth if number <= MOST]
    start = partial(started, project, folder, upstream)
    points = []
    for number in few:
        with start(keys=number) as one:
            one.send(RUN, "/v1/runs", number, keys=number)  # so that each tenant has its counters
            points.append(one.probe(number, RUN, "/v1/runs", keys=number))
    yield "API keys, each of another tenant", points
    with start(CACHE__TTL_SECONDS="86400") as one:
        yield "idempotency keys", [one.grown(number, CACHED, "/v1/runs", once=True) for number in size.growth]
    with start(CACHE__TTL_SECONDS="86400") as one:
        yield "log lines and audit records", [one.grown(number, CACHED, "/v1/runs") for number in size.growth]
    with start() as one:
        yield "conversations", [one.grown(number, CONVERSATION, "/v1/runs") for number in few]
    with start() as one:
        yield "queued tasks, one more", [one.grown(number, RUN, "/v1/tasks") for number in size.growth]
    with start() as one:
        points = []
        for number in few:
            one.fill(number, RUN, "/v1/tasks")
            one.work(project, folder)
            points.append(one.grown(number, RUN, "/v1/tasks"))
        yield "ended tasks, one more", points


@contextmanager
def started(project: Path, folder: Path, upstream: str, *, keys: int = 0, **settings: str) -> Iterator[Service]:
    """A gateway with records of its own, which knows so many keys."""
    place = folder / f"growth-{time.time_ns()}"
    place.mkdir()
    if keys:  # in a file, as the environment has no room for 10,000
        settings["AUTH__KEYS"] = ""
        (place / ".env").write_text(f"AUTH__KEYS={json.dumps({f'bench-{n}': hashed(n) for n in range(keys)})}\n")
    database = f"sqlite:///{place / 'tasks.sqlite3'}"
    endpoint = ours(project, upstream, "service", "ours", QUEUE__DATABASE_URL=database, QUEUE__MAX_DEPTH="10000000")
    endpoint.variables |= settings
    with endpoint.started(place) as server:
        yield Service(endpoint, server.pid)


def hashed(number: int) -> dict[str, str]:
    digest = hashlib.sha256(f"{KEY}-{number}".encode()).hexdigest()
    return {"hash": f"sha256:{digest}", "tenant": f"tenant-{number}"}


def plots_of(found: dict[str, list[Point]]) -> dict[str, Any]:
    """Lines over the numbers, one for each kind of what grows."""
    plots = {}
    for figure, title, unit in (
        ("cpu_ms", "CPU a request", "ms"),
        ("p50_ms", "Median", "ms"),
        ("mib", "Memory", "MiB"),
    ):
        series = {what: [(one.number, getattr(one, figure)) for one in points] for what, points in found.items()}
        slug = f"growth-{figure.removesuffix('_ms')}"
        plots[slug] = {"title": f"{title}, as there are more", "across": "how many", "unit": unit, "series": series}
    return plots
