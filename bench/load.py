"""Load on one address, by wrk: as many requests as fit into some seconds, over a few kept connections."""

import json
import os
import subprocess
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from servers import OTHERS, inherited

SCRIPT = Path(__file__).with_name("load.lua")
LONGEST_SILENCE_SECONDS = 30
_runs = count()


@dataclass
class Load:
    """What a round gave."""

    count: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int

    @property
    def per_second(self) -> float:
        return self.count / self.seconds


def load(
    address: str,
    body: str | None,
    seconds: float,
    connections: int,
    key: str = "none",
    *,
    once: bool = False,
    keys: int | None = None,
    requests: int | None = None,
) -> Load:
    """Posts `body` all the time; `%d` in it becomes a number that no other request has. At least one is answered.

    Args:
        address: with the path.
        body: the JSON to post; None for a GET.
        seconds: how long at most; whole seconds, as wrk has it. Longer, if nothing was answered until then.
        connections: how many at once.
        key: sent as `Authorization: Bearer`.
        once: whether each request has an `Idempotency-Key` of its own.
        keys: if set, `key-0` up to so many take turns.
        requests: if set, how many at most.
    """
    options = {"BODY": body, "KEYS": keys, "REQUESTS": requests, "IDEMPOTENT": once or None}
    variables = {name: str(value) for name, value in options.items() if value is not None}
    variables |= {"KEY": key, "RUN": f"{os.getpid()}-{next(_runs)}"}
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{max(1, round(seconds))}s"]
    command += ["--timeout", "30s", "--script", str(SCRIPT), address]
    done = subprocess.run(
        command,
        env=inherited() | variables,
        preexec_fn=lambda: os.sched_setaffinity(0, OTHERS),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or "{" not in done.stdout:
        raise RuntimeError(f"wrk failed:\n{done.stdout}{done.stderr}")
    gave = Load(**json.loads(done.stdout[done.stdout.index("{") :]))
    if gave.count:
        return gave
    if seconds > LONGEST_SILENCE_SECONDS:
        raise RuntimeError(f"{address} answered nothing in {seconds} s.")
    return load(address, body, 2 * seconds, connections, key, once=once, keys=keys, requests=requests)
