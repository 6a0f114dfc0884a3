"""Compose on one machine: two colours of the service behind HAProxy, one of which has the traffic.

A revision is an image by digest, with the settings that the folder had then. Which colour has which, the history and
the moves are in FOLDER/run/rollout.json; the shares are the proxy's weights. Everything that needs a container engine
is a `docker` command.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import Conflict, Revision, TargetError, Traffic, Unusable, limits, local, record
from .compose_containers import COLOURS, Containers
from .compose_record import NOTHING, Kept
from .haproxy import WHOLE, Proxy

PROJECT = Path(__file__).parents[2]


class WorkerError(TargetError):
    """The workers are not as they should be; the callers do not notice."""


class Compose:
    """The compose file of a folder, and the ports of 127.0.0.1 at which each colour can be asked by itself."""

    shares = True

    def __init__(self, folder: str, errors: str = "", latency: str = "", ready_seconds: str = "120") -> None:
        self._folder = Path(folder)
        if not self._folder.is_dir():  # as seen from the project, wherever somebody stands
            self._folder = PROJECT / folder
        if not (self._folder / "compose.yaml").is_file():
            raise Unusable(f"{folder} has no compose.yaml; give compose:deploy/compose")
        self._run = self._folder / "run"
        self._record = Kept(self._run)
        self._proxy = Proxy(self._run)
        self._errors = local.number("errors", errors or str(limits.ERRORS))
        self._latency = local.number("latency", latency or str(limits.LATENCY))
        self._patience = local.number("ready-seconds", ready_seconds)
        self._containers = Containers(self._folder, self._patience + 180)

    def actor(self) -> str:
        return local.actor()

    def place(self) -> str:
        return f"{self._folder.resolve()} on {socket.gethostname()}"

    def revisions(self) -> list[Revision]:
        return record.revisions(self._record.read())

    def traffic(self) -> Traffic:
        state = self._record.read()
        noted = record.traffic(state)
        weights = {name: server.weight for name, server in self._proxy.servers().items()}
        if weights != self._weights(noted, state):
            return replace(noted, differs=f"the proxy's weights are {weights}, and the record says {noted}")
        if not noted.canary and (started := self._started(noted, state)):
            return replace(noted, canary=started)
        works = next((name for name in self._working(state) if name not in (noted.main, noted.canary)), "")
        return replace(noted, differs=f"the worker of {works} runs, and the record says {noted}") if works else noted

    def check(self, artifact: str) -> None:
        local.image(artifact, "docker")

    def publish(self, artifact: str, schema: int, note: str) -> str:
        self._deploying = self._record.lock("deploy.lock")  # until this process ends; a rollback does not ask for it
        with self._record.locked() as state:
            settings = self._containers.settings()
            if record.image(state, state["main"]) == artifact and state["settings"].get(state["main"]) == settings:
                return str(state["main"])
            name = record.add(state, artifact, schema, note)
            state["settings"][name] = settings
            colour = self._seat(name, state)
        # Before anything of the new revision starts.
        if "migrate" in self._containers.compose("config", "--services").split():
            self._containers.compose("run", "--rm", "--no-deps", "-T", "--interactive=false", "migrate")
        self._start(name, colour)
        return name

    def shift(self, before: Traffic, after: Traffic) -> Traffic:
        with self._record.locked() as state:
            record.note(state, before, after)
            for name in filter(None, (after.main, after.canary)):
                if name not in (*state["colours"].values(), NOTHING):
                    if after.moves[0].action != "rollback":
                        raise Conflict(f"{self._folder}: somebody else has put another revision in the place of {name}")
                    self._start(name, self._seat(name, state))
            lost = self._move(after, state)
        return replace(self.traffic(), differs=lost) if lost else self.traffic()

    def discard(self, revision: str) -> None:
        state = self._record.read()
        if colour := self._colour(revision, state):
            self._containers.stop(self._containers.of(colour))

    def smoke(self, revision: str) -> str:
        colour = self._colour(revision, self._record.read())
        # One without a colour is started by the rollback, which waits until it is ready.
        return local.run(self._containers.url(colour)) if colour else ""

    def gates(self, revision: str) -> dict[str, bool]:
        """The proxy counts for each colour since the revision came: one failure may be chance, two are not."""
        server = self._proxy.servers().get(self._colour(revision, self._record.read()))
        if server is None:  # before the first deploy
            return dict.fromkeys(("errors", "latency", "ready"), False)
        return {
            "errors": server.failures > 1 and 100 * server.failures > self._errors * server.answers,
            "latency": server.seconds > self._latency,
            "ready": not server.up,
        }

    def _seat(self, name: str, state: dict[str, Any]) -> str:
        """Puts a revision in the place of the one without the main one's traffic; gives the colour."""
        colour = next(each for each in COLOURS if state["colours"].get(each) != state["main"])
        self._proxy.weigh({**{each: server.weight for each, server in self._proxy.servers().items()}, colour: 0})
        self._containers.forget([colour, f"worker-{colour}"])  # what runs there is another revision
        state["colours"][colour] = name
        self._record.write(state)
        # Compose wants both: one that is not there yet has the other one's.
        images = {each: record.image(state, state["colours"].get(each, name)) for each in COLOURS}
        images["next"] = images[colour]
        lines = [f"{each.upper()}_IMAGE={image}" for each, image in images.items()]
        (self._run / "images.env").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return colour

    def _started(self, noted: Traffic, state: dict[str, Any]) -> str:
        """A revision that runs and never had traffic: its deploy is under way, or was killed."""
        known = {noted.main, *noted.history, *(name for move in noted.moves for name in (move.before, move.revision))}
        new = (name for colour, name in state["colours"].items() if name not in known and self._containers.runs(colour))
        return "" if noted.main == NOTHING else next(new, "")

    def _working(self, state: dict[str, Any]) -> list[str]:
        return [name for colour, name in state["colours"].items() if self._containers.runs(f"worker-{colour}")]

    def _start(self, name: str, colour: str) -> None:
        services = self._containers.of(colour)
        try:
            self._containers.note(services)  # before it: what is killed in the middle may run
            self._containers.up(services)
            ready = f"{self._containers.url(colour)}/readyz"
            local.wait(f"{name} was not ready", lambda: local.status(ready) == 200, self._patience)
            local.wait(f"the proxy did not see {name} ready", lambda: self._proxy.servers()[colour].up, 10)
            self._proxy.forget()
        except BaseException:
            with suppress(TargetError):
                self._containers.stop(services)
            raise

    def _move(self, after: Traffic, state: dict[str, Any]) -> str:
        """The record, then the weights: a crash between the two is found by `traffic`. Neither a full disk nor a worker
        that does not start keeps a revision from getting its traffic back; gives what is missing then."""
        colour, back = self._colour(after.main, state), after.moves[0].action in ("rollback", "taken back")
        # It may have been stopped, or have ended this moment.
        if back and colour and not (self._proxy.servers()[colour].up and self._containers.listens(colour)):
            self._start(after.main, colour)
        lost = []
        steps: dict[str, Callable[[], None]] = {
            "the record does not say so": lambda: self._record.write(state),
            "a proxy that restarts does not know it": lambda: self._proxy.weigh(self._weights(after, state)),
            "its worker may not run": lambda: None if after.canary else self._one_worker(state),
        }
        for what, step in steps.items():
            try:
                step()
            except (OSError, WorkerError) as error:
                if not back:
                    raise
                lost.append(f"{what} ({error})")
        return ", ".join(lost)

    def _one_worker(self, state: dict[str, Any]) -> None:
        """Workers of two revisions run during a canary. Then those of the main one do, which a deploy may have stopped,
        and the others hand their tasks back."""
        try:
            for colour, name in sorted(state["colours"].items(), key=lambda item: item[1] != state["main"]):
                workers = [each for each in self._containers.of(colour) if each != colour]
                if name != state["main"] and workers:
                    self._containers.stop(workers)
                elif stopped := [each for each in workers if not self._containers.runs(each)]:
                    self._containers.up(stopped)
        except TargetError as error:
            raise WorkerError(str(error)) from error

    def _colour(self, revision: str, state: dict[str, Any]) -> str:
        return next((colour for colour, name in state["colours"].items() if name == revision), "")

    def _weights(self, traffic: Traffic, state: dict[str, Any]) -> dict[str, int]:
        weights, small = dict.fromkeys(COLOURS, 0), max(1, round(traffic.percent * WHOLE / 100))
        if traffic.canary:
            weights[self._colour(traffic.canary, state)] = small
        if traffic.main != NOTHING:
            weights[self._colour(traffic.main, state)] = WHOLE - small if traffic.canary else WHOLE
        return weights
