"""More gateway processes behind haproxy, on one Redis: what each adds, and what Redis carries.

Measured: requests a second, and CPU a run of gateways, Redis and proxy. Computed from these CPU times: what large loads
need.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import ceil
from pathlib import Path
from typing import Any

from endpoints import KEY, Endpoint, model_server, ours, redis_server
from first_answer import free_port
from load import load
from servers import cpu_seconds, process, wait_for
from sizes import Size
from timing import installed, row

CONNECTIONS = 32
LOADS = (1_000, 100_000)  # runs a second
BUSY = 0.6  # of a core at most, so that peaks and a lost zone fit
REPLICAS, SHARDS, PROXIES = "replicas", "shards of Redis", "cores of haproxy"
# On demand, rounded: a core with 2 GiB in a managed cluster; a primary and a replica of a managed Redis.
USD_A_MONTH = {REPLICAS: 40, SHARDS: 250, PROXIES: 40}
CONFIGURATION = """
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port}
  default_backend gateways
backend gateways
  balance leastconn
{servers}
"""


def measure(template: Path, folder: Path, size: Size) -> dict[str, Any]:
    project = installed(template, folder, "gateway")
    figures = {number: with_replicas(project, folder, number, size) for number in size.replicas}
    cores = os.cpu_count()
    for number, one in figures.items():
        note = ", ".join(f"{name} {milliseconds:.2f} ms" for name, milliseconds in one["cpu_ms"].items())
        row(f"{number} replicas on {cores} cores", f"{one['per_second']:.0f} /s", f"CPU a run: {note}")
    row("Redis", f"{figures[size.replicas[0]]['commands']:.1f}", "commands a run")
    needed(figures[size.replicas[0]]["cpu_ms"])
    rates = [(number, one["per_second"]) for number, one in figures.items()]
    plot = {"title": "Requests a second", "across": "replicas", "unit": "/s", "series": {f"on {cores} cores": rates}}
    return {"replicas": figures, "lines": {"replicas": plot}}


def with_replicas(project: Path, folder: Path, number: int, size: Size) -> dict[str, Any]:
    """Requests a second, and what a run takes of each program."""
    with ExitStack() as stack:
        upstream = stack.enter_context(model_server(folder, project))
        redis, its = stack.enter_context(redis_server(folder))
        gateways = [ours(project, upstream, f"replica-{n}", "ours", STATE_URL=redis) for n in range(number)]
        pids = {REPLICAS: [], SHARDS: [its]}
        for one in gateways:
            pids[REPLICAS].append(stack.enter_context(one.started(folder, os.sched_getaffinity(0))).pid)
        address, proxy = stack.enter_context(behind_haproxy(folder, gateways))
        pids[PROXIES] = [proxy]
        body = gateways[0].body
        load(address, body, 60, CONNECTIONS, KEY, once=True, requests=100)
        before = {name: sum(map(cpu_seconds, group)) for name, group in pids.items()}
        commands = commands_of(redis)
        gave = load(address, body, size.seconds * size.rounds, CONNECTIONS, KEY, once=True)
        if gave.failed:
            raise RuntimeError(f"{gave.failed} of {gave.count} requests failed with {number} replicas.")
        used = {name: sum(map(cpu_seconds, group)) - before[name] for name, group in pids.items()}
        return {
            "per_second": gave.per_second,
            "commands": (commands_of(redis) - commands) / gave.count,
            "cpu_ms": {name: 1_000 * seconds / gave.count for name, seconds in used.items()},
        }


@contextmanager
def behind_haproxy(folder: Path, gateways: list[Endpoint]) -> Iterator[tuple[str, int]]:
    """The address at which a proxy hands requests to the gateways, and its process."""
    port, configuration = free_port(), folder / "haproxy.cfg"
    servers = "\n".join(f"  server {one.slug} 127.0.0.1:{one.port}" for one in gateways)
    configuration.write_text(CONFIGURATION.format(port=port, servers=servers))
    with process(folder, "haproxy", "haproxy", "-db", "-f", configuration) as proxy:
        wait_for(f"http://127.0.0.1:{port}/readyz", proxy, folder / "haproxy.log")
        yield f"http://127.0.0.1:{port}{gateways[0].path}", proxy.pid


def commands_of(redis: str) -> int:
    """How many commands it has processed; those of scripts count too."""
    told = subprocess.check_output(["redis-cli", "-u", redis, "INFO", "stats"], text=True)
    return int(told.partition("total_commands_processed:")[2].split()[0])


def needed(cpu_ms: dict[str, float]) -> None:
    """Says what large loads need; computed, not measured."""
    for runs in LOADS:
        needs = {name: ceil(runs * milliseconds / 1_000 / BUSY) for name, milliseconds in cpu_ms.items()}
        dollars = sum(number * USD_A_MONTH[name] for name, number in needs.items())
        note = ", ".join(f"{number:,} {name}" for name, number in needs.items())
        row(f"computed: {runs:,} runs a second", f"${dollars:,} /month", note)
