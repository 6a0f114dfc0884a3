"""In which order traffic moves: publish, smoke, shift a little, watch, shift on; at any trouble back where it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from targets import Conflict, Target, TargetError, Unusable
from trail import Trail

Say = Callable[[str], None]


class Stopped(Exception):
    """The new revision is not good enough; the old one has all traffic again, unless the message says otherwise."""


@dataclass(frozen=True)
class Plan:
    """How much traffic the new revision gets, step by step, and how long each is watched."""

    steps: tuple[float, ...]  # percent, rising, the last is 100
    seconds: float
    ignored: frozenset[str]  # alarms that ring for another reason


def check(target: Target, plan: Plan) -> str:
    """The revision that has all traffic, when everything is as it has to be before a deploy.

    Raises:
        Stopped: a shift is under way, or an alarm is ringing.
        Unusable: no alarm watches the target: nothing would stop a bad revision.
    """
    traffic = target.traffic()
    if len(traffic) > 1:
        raise Stopped(f"a shift is under way, or was left ({shares(traffic)}): wait for it, or roll back")
    if not target.alarms().keys() - plan.ignored:
        raise Unusable("no alarm watches it; deploy/serverless/ makes some")
    if ringing := _ringing(target, plan):
        raise Stopped(f"{ringing} is ringing already: roll back, mend it, or name it with --ignore-alarm")
    return next(iter(traffic))


def deploy(target: Target, artifact: str, plan: Plan, trail: Trail, say: Say) -> str:
    """Publishes an artifact and gives it the traffic.

    Raises:
        Stopped: smoke or an alarm was against it; the old revision has all traffic again.
        TargetError: see there; nothing was shifted, or it was shifted back.
    """
    old = check(target, plan)
    new = target.publish(artifact)
    if new == old:
        raise Unusable(f"this code with these settings is revision {old}, which has the traffic already")
    say(f"published {new}; {old} has the traffic")
    trail.record("publish", "ok", revision=new, artifact=artifact)
    if wrong := target.smoke(new):
        raise Stopped(f"the smoke call of {new} failed, no traffic was shifted: {wrong}")
    shifted = False
    try:
        for percent in plan.steps:
            shifted = True  # before it: a shift whose answer gets lost may have happened
            target.shift(old, new, percent)
            say(f"{new} has {percent:g} % of the traffic")
            trail.record("shift", "ok", revision=new, before=old, percent=percent)
            _watch(target, new, plan)
    except Conflict:
        raise  # the traffic is somebody else's by now
    except BaseException as trouble:
        if shifted:
            _shift_back(target, old, new, trail, say, trouble)
        raise
    return new


def rollback(target: Target, to: str | None, smoke: bool, trail: Trail, say: Say) -> str:
    """Gives one revision all traffic at once: the named one, or the one before.

    Raises:
        Unusable: it is unknown, or has all traffic already.
        Stopped: it does not answer a smoke call.
    """
    traffic = target.traffic()
    main = next(iter(traffic))
    # A shift that was left half-way is rolled back to where it began.
    wanted = to or (main if len(traffic) > 1 else target.previous())
    if wanted not in {revision.name for revision in target.revisions()}:
        raise Unusable(f"there is no revision {wanted}; --list shows those that there are")
    if traffic.get(wanted) == 100:
        raise Unusable(f"revision {wanted} has all the traffic already")
    if smoke and (wrong := target.smoke(wanted)):
        raise Stopped(f"the smoke call of {wanted} failed, nothing was shifted (--no-smoke leaves it out): {wrong}")
    target.shift(main, wanted, 100)
    say(f"{wanted} has all the traffic; before: {shares(traffic)}")
    trail.record("rollback", "ok", revision=wanted, before=shares(traffic))
    return wanted


def shares(traffic: dict[str, float]) -> str:
    return ", ".join(f"{revision} has {percent:g} %" for revision, percent in traffic.items())


def _watch(target: Target, new: str, plan: Plan) -> None:
    end = time.monotonic() + plan.seconds
    while True:
        if ringing := _ringing(target, plan):
            raise Stopped(f"{ringing} went off")
        left = end - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(left, 10, plan.seconds / 10))
    if wrong := target.smoke(new):
        raise Stopped(f"the smoke call of {new} failed: {wrong}")


def _ringing(target: Target, plan: Plan) -> str:
    return ", ".join(sorted(name for name, rings in target.alarms().items() if rings and name not in plan.ignored))


def _shift_back(target: Target, old: str, new: str, trail: Trail, say: Say, trouble: BaseException) -> None:
    try:
        # As it is now, not as it was remembered; and only when nobody else has moved it since.
        if not target.traffic().keys() <= {old, new}:
            raise Conflict("other revisions have the traffic by now")
        target.shift(new, old, 100)
    except TargetError as error:
        trail.record("shift_back", "failed", revision=old, before=new)
        say(f"NOT shifted back to {old}: {error}. Run rollback.py as soon as you can.")
    else:
        trail.record("shift_back", "ok", revision=old, before=new, reason=type(trouble).__name__)
        say(f"shifted back: {old} has all the traffic again")
