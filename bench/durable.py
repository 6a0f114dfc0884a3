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
from pathlib import Path

from contenders import OTHERS, Contender, celery, kill, ours, taskiq
from first_answer import free_port
from gateway import process
from timing import environment, render, row

WORKERS, AT_ONCE = 2, 8  # processes, and tasks in each of them
KILLED_WORKERS, KILLS, EVERY_SECONDS = 3, 6, 2.0
TASKS, TASK_SECONDS = 300, "0.5"
WAIT_SECONDS = 45.0  # after the last kill


def measure(template: Path, folder: Path) -> None:
    project = folder / "durable"
    render(template, project, "queue")
    mine = environment(project / ".venv", "--constraint", project / "requirements.lock", project)
    theirs = environment(folder / "others", *OTHERS)
    with ExitStack() as stack:
        port = free_port()
        server = ("redis-server", "--port", str(port), "--save", "", "--appendonly", "no")
        stack.enter_context(process(folder, "redis", *server))
        redis = f"redis://127.0.0.1:{port}"
        databases = stack.enter_context(postgres(project, mine))

        def contenders() -> list[Contender]:
            """Each on a store of its own."""
            return [
                ours(mine, "ours, SQLite", f"sqlite:///{folder / f'tasks-{time.time_ns()}.sqlite3'}", AT_ONCE),
                ours(mine, "ours, PostgreSQL", databases.pop(), AT_ONCE),
                *(make(theirs, redis, AT_ONCE, told=told) for make in (taskiq, celery) for told in (False, True)),
            ]

        rates = {one.name: speed(one, folder_for(folder)) for one in contenders() if one.no_ops}
        for name, rate in rates.items():
            if name.startswith("ours"):
                shares = (f"{rate / other:.2f} of {theirs}" for theirs, other in rates.items() if theirs[:4] != "ours")
                row(f"  {name}, tasks a second", "", ", ".join(shares))
        print(
            f"  {KILLED_WORKERS} workers, one SIGKILLed every {EVERY_SECONDS:g} s, {TASKS} tasks of {TASK_SECONDS} s:"
        )
        for one in contenders():
            survive(one, folder_for(folder))


def speed(contender: Contender, folder: Path) -> float:
    """Tasks a second, from the first one's end to the last one's."""
    took = contender.submits(folder, contender.no_ops, "0")
    with contender.workers(folder, WORKERS):
        ended = until(lambda: times(folder, "ends"), lambda seen: len(seen) == contender.no_ops, seconds=120)
    if len(ended) < 2:
        raise RuntimeError(f"{contender.name} did nothing:\n{(folder / 'workers.log').read_text()[-2_000:]}")
    ends = sorted(ended.values())
    rate = (len(ends) - 1) / (ends[-1] - ends[0])
    cuts = statistics.quantiles(took, n=100)
    note = f"submission {cuts[49]:.1f} ms median, {cuts[98]:.1f} ms p99"
    missing = contender.no_ops - len(ends)
    row(f"{contender.name}, no-ops", f"{rate:.0f} /s", note + (f", {missing} not done" if missing else ""))
    return rate


def survive(contender: Contender, folder: Path) -> None:
    """Which tasks are done, and how often, when workers are killed and replaced."""
    contender.submits(folder, TASKS, TASK_SECONDS)
    with contender.workers(folder, KILLED_WORKERS) as workers:
        until(lambda: times(folder, "begins"), bool, seconds=60)
        for _ in range(KILLS):
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


@contextmanager
def postgres(project: Path, commands: Path) -> Iterator[list[str]]:
    """Addresses of two empty databases, of a server that lives as long."""
    script = Path(__file__).parent / "engines" / "postgres_server.py"
    server = subprocess.Popen(
        [commands / "python", script, project / "tests"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin
    assert server.stdout
    try:
        addresses = server.stdout.readline().split()
        if not addresses:
            sys.exit("PostgreSQL did not start.")
        yield addresses
    finally:
        server.stdin.close()
        server.wait()
