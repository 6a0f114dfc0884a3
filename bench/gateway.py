"""One gateway process with everything on, beside the endpoints that people would use instead.

All are CPU-bound: the model answers at once. Rounds alternate, so that a busy machine slows all of them.
"""

import subprocess
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from endpoints import BARE, KEY, Endpoint, all_of, model_server, redis_server, versions
from load import load
from servers import cpu_seconds, memory_mib
from sizes import Size
from timing import children_cpu, installed, row

IMPORTS = "import fastapi, pydantic_ai.models.openai, pydantic_ai.providers.openai, uvicorn"
WARM_UP = 50  # requests
Figures = dict[str, Any]


def measure(template: Path, folder: Path, size: Size) -> Figures:
    project = installed(template, folder, "gateway")
    with ExitStack() as stack:
        upstream = stack.enter_context(model_server(folder, project))
        redis = stack.enter_context(redis_server(folder))[0] if size.peers else ""
        endpoints = all_of(project, folder, upstream, redis, peers=size.peers)
        figures: Figures = {one.slug: {"name": one.name, "versions": versions(_commands(one))} for one in endpoints}
        for _ in range(size.starts):
            for one in endpoints:
                _start(one, folder, figures[one.slug])
        imports = [_import(project / ".venv" / "bin") for _ in range(size.starts)]
        pids = {one.slug: stack.enter_context(one.started(folder)).pid for one in endpoints}
        for one in endpoints:
            _warm_up(one)
        for connections in size.connections:
            for number in range(size.rounds):
                for one in endpoints[number % len(endpoints) :] + endpoints[: number % len(endpoints)]:
                    _round(one, pids[one.slug], size.seconds, connections, figures[one.slug])
            _report(endpoints, figures, connections)
        for one in endpoints:
            figures[one.slug]["loaded_mib"] = memory_mib(pids[one.slug])
    for one in endpoints if size.starts else []:
        its = figures[one.slug]
        memory = f"{median(its['rest_mib']):.0f} MiB at rest, {its['loaded_mib']:.0f} after load"
        row(
            f"{one.name}: to ready",
            f"{median(its['ready_s']):.2f} s",
            f"{median(its['ready_cpu_s']):.2f} s CPU, {memory}",
        )
    return {"endpoints": figures, "imports_cpu_s": imports}


def _commands(one: Endpoint) -> Path:
    return Path(one.command[0]).parent


def _start(one: Endpoint, folder: Path, its: Figures) -> None:
    began = time.perf_counter()
    with one.started(folder) as server:
        its.setdefault("ready_s", []).append(time.perf_counter() - began)
        its.setdefault("ready_cpu_s", []).append(cpu_seconds(server.pid))
        its.setdefault("rest_mib", []).append(memory_mib(server.pid))


def _import(commands: Path) -> float:
    """CPU seconds of what even the bare endpoint imports."""
    before = children_cpu()
    subprocess.run([commands / "python", "-c", IMPORTS], check=True)
    return children_cpu() - before


def _warm_up(one: Endpoint) -> None:
    gave = load(one.address, one.body, 60, 4, KEY, once=one.once, requests=WARM_UP)
    if gave.failed:
        raise RuntimeError(f"{one.name}: {gave.failed} of {gave.count} requests failed.")


def _round(one: Endpoint, pid: int, seconds: float, connections: int, its: Figures) -> None:
    before = cpu_seconds(pid)
    gave = load(one.address, one.body, seconds, connections, KEY, once=one.once)
    used = cpu_seconds(pid) - before
    level = its.setdefault("levels", {}).setdefault(str(connections), defaultdict(list))
    level["per_second"].append(gave.per_second)
    level["p50_ms"].append(gave.p50_ms)
    level["p99_ms"].append(gave.p99_ms)
    level["cpu_ms"].append(1_000 * used / gave.count)
    level["failed"].append(gave.failed)


def _report(endpoints: list[Endpoint], figures: Figures, connections: int) -> None:
    print(f"  at {connections} connections, medians:")
    bare = figures[BARE]["levels"][str(connections)]["per_second"]
    for one in endpoints:
        level = figures[one.slug]["levels"][str(connections)]
        shares = [mine / its for mine, its in zip(level["per_second"], bare, strict=True)]
        share = f"{median(shares):.2f} of bare ({min(shares):.2f} to {max(shares):.2f})"
        latency = f"p50 {median(level['p50_ms']):.1f} ms, p99 {median(level['p99_ms']):.1f} ms"
        failed = f", {sum(level['failed'])} failed" if sum(level["failed"]) else ""
        rate = f"{median(level['per_second']):.0f} /s"
        row(f"  {one.name}", rate, f"{share}, {median(level['cpu_ms']):.2f} ms CPU, {latency}{failed}")
