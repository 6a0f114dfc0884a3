"""In which order traffic moves: publish, smoke, shift a little, watch, shift on; at any trouble back where it was."""

from __future__ import annotations

from dataclasses import dataclass

from change import Change, Stopped
from going_back import take_back
from targets import Conflict, Move, Traffic, Unusable
from watching import Watch, smoke, watch


@dataclass(frozen=True)
class Plan:
    """How much traffic the new revision gets, step by step, and how long each is watched."""

    steps: tuple[float, ...]  # percent, rising, the last is 100
    seconds: float
    ignored: frozenset[str] = frozenset()  # gates that ring for another reason
    reason: str = ""
    schema: int | None = None  # of the stores; None: that of the revision that has the traffic


def check(change: Change, artifact: str, plan: Plan) -> tuple[Traffic, Watch]:
    """The traffic and what will watch it, when everything is as it has to be before a deploy.

    Raises:
        Stopped: a shift is under way, the record is not what the callers meet, or a gate is against it already.
        Unusable: no such artifact, or no gate watches the target: nothing would stop a bad revision.
    """
    with change.interrupts.allowed():
        traffic = change.target.traffic()
        if traffic.differs:
            raise Stopped(f"{traffic.differs}: roll back first, which brings the two together")
        if traffic.canary:
            raise Stopped(f"a shift is under way, or was left ({traffic}): wait for it, or roll back")
        gates = change.target.gates(traffic.main)
        how = Watch(plan.seconds, frozenset(gates.keys() - plan.ignored), plan.ignored)
        if not how.expected:
            raise Unusable("no gate watches it: nothing would stop a bad revision")
        if ringing := how.against(gates):
            raise Stopped(f"{ringing} is ringing already: roll back, mend it, or name it with --ignore-alarm")
        change.target.check(artifact)
    return traffic, how


def deploy(change: Change, artifact: str, plan: Plan) -> str:
    """Publishes an artifact and gives it the traffic.

    Raises:
        Stopped: smoke or a gate was against it; the old revision has all traffic again.
        Conflict: somebody else has moved the traffic meanwhile; theirs stands.
        Stranded: the traffic could not be taken back.
    """
    target, actor = change.target, change.trail.actor
    before, how = check(change, artifact, plan)
    schema = _schema(change, before.main) if plan.schema is None else plan.schema
    with change.interrupts.allowed():
        new = target.publish(artifact, schema, f"{actor}: {plan.reason}".rstrip(": "))
    if new == before.main:
        raise Unusable(f"this code with these settings is revision {new}, which has the traffic already")
    now = before
    try:
        change.say(f"published {new}; {before.main} has the traffic")
        change.trail.record("publish", "ok", revision=new, artifact=artifact)
        smoke(change, new)
        for percent in plan.steps if before.history else (100.0,):  # nothing had traffic: the first one gets all
            move = Move("deploy" if percent == 100 else "canary", before.main, new, actor, plan.reason)
            asked = now.given(new, percent, move)
            now = asked  # before it: a shift whose answer gets lost may have happened
            now = target.shift(now, asked)
            change.say(str(now))
            change.trail.record("shift", "ok", revision=new, before=before.main, percent=percent)
            watch(change, new, how)
        if (found := target.traffic()) != now:
            raise Conflict(f"{found} by now: somebody else has moved it")
    except Conflict:
        raise  # the traffic is somebody else's by now
    except BaseException as trouble:
        take_back(change, before, now, new, trouble)
        raise
    return new


def _schema(change: Change, name: str) -> int:
    return next((revision.schema for revision in change.target.revisions() if revision.name == name), 0)
