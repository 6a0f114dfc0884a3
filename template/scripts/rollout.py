"""In which order traffic moves: publish, smoke, shift a little, watch, shift on; at any trouble back where it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from interrupts import Interrupts
from targets import Conflict, Move, Target, TargetError, Traffic, Unusable
from trail import Trail

Say = Callable[[str], None]
# Two people who roll back at the same alarm want to go one revision back, not two.
SAME_INCIDENT = timedelta(minutes=10)


class Stopped(Exception):
    """The new revision is not good enough; the old one has all traffic again."""


class Stranded(Exception):
    """The traffic is not where it was, and could not be taken back."""


@dataclass(frozen=True)
class Plan:
    """How much traffic the new revision gets, step by step, and how long each is watched."""

    steps: tuple[float, ...]  # percent, rising, the last is 100
    seconds: float
    ignored: frozenset[str] = frozenset()  # gates that ring for another reason
    reason: str = ""
    schema: int | None = None  # of the stores; None: that of the revision that has the traffic


@dataclass(frozen=True)
class Rollout:
    """One change of a target's traffic, by one person or pipeline."""

    target: Target
    trail: Trail
    say: Say
    interrupts: Interrupts

    def check(self, artifact: str, plan: Plan) -> tuple[Traffic, frozenset[str]]:
        """The traffic and its gates, when everything is as it has to be before a deploy.

        Raises:
            Stopped: a shift is under way, or a gate is against it already.
            Unusable: no such artifact, or no gate watches the target: nothing would stop a bad revision.
        """
        traffic = self.target.traffic()
        if traffic.canary:
            raise Stopped(f"a shift is under way, or was left ({traffic}): wait for it, or roll back")
        gates = self.target.gates(traffic.main)
        if not gates.keys() - plan.ignored:
            raise Unusable("no gate watches it: nothing would stop a bad revision")
        if ringing := _against(gates, plan):
            raise Stopped(f"{ringing} is ringing already: roll back, mend it, or name it with --ignore-alarm")
        self.target.check(artifact)
        return traffic, frozenset(gates.keys() - plan.ignored)

    def deploy(self, artifact: str, plan: Plan) -> str:
        """Publishes an artifact and gives it the traffic.

        Raises:
            Stopped: smoke or a gate was against it; the old revision has all traffic again.
            Conflict: somebody else has moved the traffic meanwhile; theirs stands.
            Stranded: the traffic could not be taken back.
        """
        before, gates = self.check(artifact, plan)
        schema = self._schema(before.main) if plan.schema is None else plan.schema
        with self.interrupts.allowed():
            new = self.target.publish(artifact, schema, f"{self.trail.actor}: {plan.reason}".rstrip(": "))
        if new == before.main:
            raise Unusable(f"this code with these settings is revision {new}, which has the traffic already")
        now = before
        try:
            self.say(f"published {new}; {before.main} has the traffic")
            self.trail.record("publish", "ok", revision=new, artifact=artifact)
            self._smoke(new)
            for percent in plan.steps if before.history else (100.0,):  # nothing had traffic: the first one gets all
                move = Move("deploy" if percent == 100 else "canary", before.main, new, self.trail.actor, plan.reason)
                asked = now.given(new, percent, move)
                now = asked  # before it: a shift whose answer gets lost may have happened
                now = self.target.shift(now, asked)
                self.say(str(now))
                self.trail.record("shift", "ok", revision=new, before=before.main, percent=percent)
                self._watch(new, plan, gates)
            if (found := self.target.traffic()) != now:
                raise Conflict(f"{found} by now: somebody else has moved it")
        except Conflict:
            raise  # the traffic is somebody else's by now
        except BaseException as trouble:
            self._take_back(before, now, new, trouble)
            raise
        return new

    def rollback(self, to: str | None, come_from: str, reason: str, *, smoke: bool, despite_schema: bool) -> str:
        """Gives one revision all traffic at once: the named one, or the one before.

        Raises:
            Unusable: it is unknown, has all traffic already, or cannot read what the stores hold.
            Conflict: somebody else was here first.
        """
        now = self.target.traffic()
        if come_from and come_from not in (now.main, now.canary):
            raise Conflict(f"{now}, not {come_from}: somebody else was here first")
        wanted = to or self._before(now, sure=bool(come_from))
        revisions = {revision.name: revision for revision in self.target.revisions()}
        if wanted not in revisions:
            raise Unusable(f"there is no revision {wanted}; --list shows those that there are")
        if now.of(wanted) == 100:
            raise Unusable(f"revision {wanted} has all the traffic already")
        schema = max(revisions[name].schema for name in (now.main, now.canary) if name in revisions)
        if revisions[wanted].schema < schema and not despite_schema:
            raise Unusable(
                f"{wanted} reads schema {revisions[wanted].schema}, and the stores have {schema}: deploy a revision "
                "that mends it, or restore a backup from before; --despite-schema if you know that it reads them"
            )
        if smoke:
            self._advise(wanted)
        move = Move("rollback", now.canary or now.main, wanted, self.trail.actor, reason)
        after = self.target.shift(now, now.given(wanted, 100, move))
        if (found := self.target.traffic()) != after:
            raise Conflict(f"{found} by now: somebody else has moved it")
        self.say(f"{wanted} has all the traffic; before: {now}")
        self.trail.record("rollback", "ok", revision=wanted, before=str(now), reason=reason)
        return wanted

    def _before(self, now: Traffic, *, sure: bool) -> str:
        if now.canary:  # a shift that was left half-way goes back to where it began
            return now.main
        last = now.moves[0] if now.moves and now.moves[0].action == "rollback" else None
        if last and not sure and datetime.now(UTC) - datetime.fromisoformat(last.at) < SAME_INCIDENT:
            raise Conflict(
                f"{last.actor} has just rolled back from {last.before} to {last.revision} ({last.at}); "
                f"--from {now.main} goes back further"
            )
        if len(now.history) < 2:
            raise Unusable(f"it is not known what had the traffic before {now.main}; name it: --list, then --to")
        return now.history[1]

    def _schema(self, name: str) -> int:
        return next((revision.schema for revision in self.target.revisions() if revision.name == name), 0)

    def _smoke(self, revision: str) -> None:
        with self.interrupts.allowed():
            if wrong := self.target.smoke(revision):
                raise Stopped(f"the smoke call of {revision} failed: {wrong}")

    def _advise(self, revision: str) -> None:
        """A smoke call that fails says something, and holds up nothing: a saturated service has to be rolled back."""
        try:
            with self.interrupts.allowed():
                wrong = self.target.smoke(revision)
        except TargetError as error:
            wrong = str(error)
        if wrong:
            self.say(f"warning: the smoke call of {revision} failed: {wrong}")

    def _watch(self, new: str, plan: Plan, expected: frozenset[str]) -> None:
        end = time.monotonic() + plan.seconds
        with self.interrupts.allowed():
            while True:
                gates = self.target.gates(new)
                if gone := expected - gates.keys():
                    raise Stopped(f"{', '.join(sorted(gone))} is gone: nothing would stop a bad revision")
                if ringing := _against(gates, plan):
                    raise Stopped(f"{ringing} went off")
                left = end - time.monotonic()
                if left <= 0:
                    break
                time.sleep(min(left, 10, plan.seconds / 10))
        self._smoke(new)

    def _take_back(self, before: Traffic, now: Traffic, new: str, trouble: BaseException) -> None:
        """The traffic as it was. Nothing interrupts it."""
        if now is not before:
            try:
                found = self.target.traffic()  # as it is, not as it was remembered
                if found != before:
                    if not {found.main, found.canary} <= {before.main, new, ""}:
                        raise Conflict(f"other revisions have the traffic by now ({found})")
                    move = Move("taken back", new, before.main, self.trail.actor, str(trouble))
                    self.target.shift(found, found.given(before.main, 100, move))
            except Exception as error:  # noqa: BLE001 whatever it was, the last line has to say where the traffic is
                with suppress(OSError):
                    self.trail.record("shift_back", "failed", revision=before.main, before=new)
                raise Stranded(
                    f"{trouble}; the traffic is NOT back at {before.main}: {error}. Roll back as soon as you can: "
                    f"uv run scripts/rollback.py {self.trail.target} --to {before.main}"
                ) from trouble
            self.say(f"taken back: {before.main} has all the traffic again")
        try:
            self.target.discard(new)
            self.trail.record("shift_back", "ok", revision=before.main, before=new, reason=type(trouble).__name__)
        except (TargetError, OSError) as error:
            self.say(f"warning: {error}")


def _against(gates: dict[str, bool], plan: Plan) -> str:
    return ", ".join(sorted(name for name, rings in gates.items() if rings and name not in plan.ignored))
