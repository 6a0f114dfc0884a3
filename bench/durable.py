"""Tasks a second, what a submission takes, and what is lost when workers are killed: our queue beside two others.

A task leaves two marks and does nothing else. Ours takes the whole path of a run for that, with a model that answers
at once: budget, recorded model call, log line, audit. The others' is an empty function: they are asked for less.
"""

import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from contenders import OTHERS, Contender, celery, kill, ours, taskiq
from first_answer import free_port
from servers import process
from sizes import Size
from timing import environment, installed, row

AT_ONCE = 8  # tasks in each worker
EASIER = 5  # the others' no-ops are so many times as many, or they would be over at once
KILLED_WORKERS, EVERY_SECONDS = 3, 2.0
TASKS, TASK_SECONDS = 300, "0.5"
WAIT_SECONDS = 45.0  # after the last kill


def measure(template: Path, folder: Path, size: Size) -> dict[str, Any]:
    project = installed(template, folder, "queue")
    mine = project / ".venv" / "bin"
    theirs = environment(folder / "others", *OTHERS) if size.peers else mine
    with ExitStack() as stack:
        port = free_port()
        server = ("redis-server", "--port", str(port), "--save", "", "--appendonly", "no")
        stack.enter_context(process(folder, "redis", *server))
        redis = f"redis://127.0.0.1:{port}"
        databases = stack.enter_context(postgres(project, mine))

        def contenders() -> list[Contender]:
            """Each on a store of its own."""
            sqlite, postgres_ = f"sqlite:///{folder / f'tasks-{time.time_ns()}.sqlite3'}", databases()
            return [
                ours(mine, "ours, SQLite", sqlite, AT_ONCE, size.no_ops),
                ours(mine, "ours, PostgreSQL", postgres_, AT_ONCE, size.no_ops),
                *(
                    make(theirs, redis, AT_ONCE, size.no_ops * EASIER, told=told)
                    for make in ((taskiq, celery) if size.peers else ())
                    for told in (False, True)
                ),
            ]

        rates: dict[str, list[tuple[int, float]]] = {}
        for workers in size.workers:
            for one in contenders():
                if one.no_ops:
                    rates.setdefault(one.name, []).append((workers, speed(one, folder_for(folder), workers)))
        if size.kills:
            told = f"{KILLED_WORKERS} workers, one SIGKILLed every {EVERY_SECONDS:g} s"
            print(f"  {told}, {TASKS} tasks of {TASK_SECONDS} s:")
            for one in contenders():
                survive(one, folder_for(folder), size.kills)
    plot = {"title": "Tasks a second", "across": "workers", "unit": "/s", "series": rates}
    return {"lines": {"tasks": plot}}


def speed(contender: Contender, folder: Path, workers: int) -> float:
    """Tasks a second, from the first one's end to the last one's."""
    took = contender.submits(folder, contender.no_ops, "0")
    with contender.workers(folder, workers):
        ended = until(lambda: times(folder, "ends"), lambda seen: len(seen) == contender.no_ops, seconds=120)
    if len(ended) < 2:
        raise RuntimeError(f"{contender.name} did nothing:\n{(folder / 'workers.log').read_text()[-2_000:]}")
    ends = sorted(ended.values())
    rate = (len(ends) - 1) / (ends[-1] - ends[0])
    cuts = statistics.quantiles(took, n=100)
    note = f"submission {cuts[49]:.1f} ms median, {cuts[98]:.1f} ms p99"
    missing = contender.no_ops - len(ends)
    row(
        f"{contender.name}, {workers} workers, no-ops",
        f"{rate:.0f} /s",
        note + (f", {missing} not done" if missing else ""),
    )
    return rate


def survive(contender: Contender, folder: Path, kills: int) -> None:
    """Which tasks are done, and how often, when workers are killed and replaced."""
    contender.submits(folder, TASKS, TASK_SECONDS)
    with contender.workers(folder, KILLED_WORKERS) as workers:
        until(lambda: times(folder, "begins"), bool, seconds=60)
        for _ in range(kills):
            time.sleep(EVERY_SECONDS)
            kill(workers.pop(0))
            workers.append(contender.start(folder))
        last = time.time()
        ended = until(lambda: times(folder, "ends"), lambda seen: len(seen) == TASKS, seconds=WAIT_SECONDS)
    begun = Counter(number for number, what, _ in marks(folder) if what == "begins")
    again = sum(number - 1 for number in begun.values())
    missing = TASKS - len(ended)
    note = f"{again} begun again" + (
        "" if missing else f", all done {max(ended.values()) - last:.0f} s after the last kill"
    )
    row(f"  {contender.name}", f"{missing} missing", note)


def marks(folder: Path) -> list[tuple[int, str, float]]:
    """(task, `begins` or `ends`, when)."""
    file = folder / "marks"
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [(int(number), what, float(at)) for number, what, at in lines]


def times(folder: Path, wanted: str) -> dict[int, float]:
    """When each task first did so."""
    return {number: at for number, what, at in reversed(marks(folder)) if what == wanted}


def until(
    look: Callable[[], dict[int, float]], enough: Callable[[dict[int, float]], bool], *, seconds: float
) -> dict[int, float]:
    """What is seen once it is enough, or the time is over."""
    deadline = time.monotonic() + seconds
    while not enough(seen := look()) and time.monotonic() < deadline:
        time.sleep(0.25)
    return seen


def folder_for(folder: Path) -> Path:
    fresh = folder / f"engine-{time.time_ns()}"
    fresh.mkdir()
    return fresh


def _another(server: "subprocess.Popen[str]") -> str:
    assert server.stdin
    assert server.stdout
    server.stdin.write("\n")
    server.stdin.flush()
    return server.stdout.readline().strip() or sys.exit("PostgreSQL did not start.")


@contextmanager
def postgres(project: Path, commands: Path) -> Iterator[Callable[[], str]]:
    """Gives the address of an empty database for each call, of a server that lives as long."""
    script = Path(__file__).parent / "engines" / "postgres_server.py"
    server = subprocess.Popen(
        [commands / "python", script, project / "tests"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin
    assert server.stdout
    try:
        yield partial(_another, server)
    finally:
        server.stdin.close()
        server.wait()
