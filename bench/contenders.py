"""The ways to have tasks done that are compared: ours on both databases, taskiq and Celery on Redis."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from first_answer import free_port

ENGINES = Path(__file__).parent / "engines"
OTHERS = ("taskiq==0.13.0", "taskiq-redis==1.2.4", "celery[redis]==5.7.0")
PATIENCE_SECONDS = "15"  # ours takes over within that: the others told to, where they can be

_numbers = count()


@dataclass
class Contender:
    """Its commands; `submit` takes how many and for how many seconds each."""

    name: str
    submit: list[str | Path]
    work: list[str | Path]
    variables: dict[str, str]
    no_ops: int = 0  # tasks that fit into some seconds; 0: not measured, it differs in other things

    def submits(self, folder: Path, number: int, seconds: str) -> list[float]:
        """Milliseconds that each submission took, one after another."""
        done = subprocess.run(
            [*self.submit, str(number), seconds],
            cwd=folder,
            env=self._environment(folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}:\n{done.stderr.decode()[-2_000:]}")
        return [float(one) for one in done.stdout.split()]

    def start(self, folder: Path) -> "subprocess.Popen[bytes]":
        """A worker, in a group with its children."""
        with (folder / "workers.log").open("ab") as log:
            return subprocess.Popen(
                self.work,
                cwd=folder,
                env=self._environment(folder) | {"PORT": str(free_port())},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @contextmanager
    def workers(self, folder: Path, number: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
        """Those that are in the list at the end are killed."""
        started = [self.start(folder) for _ in range(number)]
        try:
            yield started
        finally:
            for one in started:
                kill(one)

    def _environment(self, folder: Path) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        return kept | {"PYTHONPATH": str(ENGINES), "MARKS": str(folder / "marks")} | self.variables


def kill(worker: "subprocess.Popen[bytes]") -> None:
    """As the kernel does when memory runs out, its children included."""
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def ours(commands: Path, name: str, database: str, at_once: int, no_ops: int) -> Contender:
    script = [commands / "python", ENGINES / "ours.py"]
    variables = {
        "QUEUE__DATABASE_URL": database,
        "QUEUE__CONCURRENCY": str(at_once),
        "QUEUE__MAX_DEPTH": "1000000",
        "QUEUE__MAX_TAKEOVERS": "100",
        "BUDGET__TOKENS_PER_DAY": "100000000000",
    }
    return Contender(name, [*script, "submit"], [*script, "work"], variables, no_ops)


def taskiq(commands: Path, redis: str, at_once: int, no_ops: int, *, told: bool) -> Contender:
    work: list[str | Path] = [commands / "taskiq", "worker", "with_taskiq:broker", "--workers", "1"]
    work += ["--max-async-tasks", str(at_once), "--log-level", "ERROR"]
    submit: list[str | Path] = [commands / "python", ENGINES / "with_taskiq.py", "submit"]
    return _on_redis("taskiq, Redis stream", submit, work, redis, no_ops, told=told)


def celery(commands: Path, redis: str, at_once: int, no_ops: int, *, told: bool) -> Contender:
    work: list[str | Path] = [commands / "celery", "-A", "with_celery", "worker", "--loglevel", "ERROR"]
    work += ["--concurrency", str(at_once), "--without-gossip", "--without-mingle"]
    submit: list[str | Path] = [commands / "python", ENGINES / "with_celery.py", "submit"]
    return _on_redis("Celery, Redis", submit, work, redis, no_ops, told=told)


def _on_redis(
    name: str, submit: list[str | Path], work: list[str | Path], redis: str, no_ops: int, *, told: bool
) -> Contender:
    variables = {"REDIS_URL": f"{redis}/{next(_numbers)}"}
    if told:
        return Contender(
            f"{name}, told to wait {PATIENCE_SECONDS} s",
            submit,
            work,
            {**variables, "PATIENCE_SECONDS": PATIENCE_SECONDS},
        )
    return Contender(name, submit, work, variables, no_ops)
