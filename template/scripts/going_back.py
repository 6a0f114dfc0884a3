"""How traffic goes back: a rollback that somebody asks for, and what a deploy takes back by itself."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from change import Change, Stranded
from targets import Conflict, Move, TargetError, Traffic, Unusable
from watching import advice

# Two people who roll back at the same alarm want to go one revision back, not two.
SAME_INCIDENT = timedelta(minutes=10)


def rollback(change: Change, to: str | None, come_from: str, reason: str, *, smoke: bool, despite_schema: bool) -> str:
    """Gives one revision all traffic at once: the named one, or the one before.

    Raises:
        Unusable: it is unknown, has all traffic already, or cannot read what the stores hold.
        Conflict: somebody else was here first.
    """
    target = change.target
    with change.interrupts.allowed():
        now, revisions = target.traffic(), {revision.name: revision for revision in target.revisions()}
    if now.differs:
        change.say(f"{now.differs}; this brings the two together")
    if come_from and come_from not in (now.main, now.canary):
        raise Conflict(f"{now}, not {come_from}: somebody else was here first")
    wanted = to or _before(now, sure=bool(come_from))
    if wanted not in revisions:
        raise Unusable(f"there is no revision {wanted}; --list shows those that there are")
    if now.of(wanted) == 100 and not now.canary and not now.differs:
        raise Unusable(f"revision {wanted} has all the traffic already")
    schema = max((revisions[name].schema for name in (now.main, now.canary) if name in revisions), default=0)
    if revisions[wanted].schema < schema and not despite_schema:
        raise Unusable(
            f"{wanted} reads schema {revisions[wanted].schema}, and the stores have {schema}: deploy a revision "
            "that mends it, or restore a backup from before; --despite-schema if you know that it reads them"
        )
    if smoke:
        advice(change, wanted)
    move = Move("rollback", now.canary or now.main, wanted, change.trail.actor, reason)
    after = target.shift(now, now.given(wanted, 100, move))
    if after.differs:
        raise TargetError(f"{wanted} has all the traffic, and {after.differs}; repeat it with --to {wanted}")
    if (found := target.traffic()) != after:
        raise Conflict(f"{found.differs or found} by now: somebody else has moved it")
    change.say(f"{wanted} has all the traffic; before: {now}")
    change.done("rollback", revision=wanted, before=str(now), reason=reason)
    return wanted


def take_back(change: Change, before: Traffic, now: Traffic, new: str, trouble: BaseException) -> None:
    """The traffic as it was before a deploy. Nothing interrupts it.

    Raises:
        Stranded: it could not be brought back.
    """
    target, trail = change.target, change.trail
    if now is not before:
        try:
            found = target.traffic()  # as it is, not as it was remembered
            if found != before:
                if not {found.main, found.canary} <= {before.main, new, ""}:
                    raise Conflict(f"other revisions have the traffic by now ({found})")
                move = Move("taken back", new, before.main, trail.actor, str(trouble))
                if lost := target.shift(found, found.given(before.main, 100, move)).differs:
                    change.say(f"warning: {lost}")
        except Exception as error:  # noqa: BLE001 whatever it was, the last line has to say where the traffic is
            with suppress(OSError):
                trail.record("shift_back", "failed", revision=before.main, before=new)
            raise Stranded(
                f"{trouble}; the traffic is NOT back at {before.main}: {error}. Roll back as soon as you can: "
                f"uv run scripts/rollback.py {change.named} --to {before.main}"
            ) from trouble
        change.say(f"taken back: {before.main} has all the traffic again")
    try:
        target.discard(new)
        trail.record("shift_back", "ok", revision=before.main, before=new, reason=type(trouble).__name__)
    except (TargetError, OSError) as error:
        change.say(f"warning: {error}")


def _before(now: Traffic, *, sure: bool) -> str:
    if now.canary:  # a shift that was left half-way goes back to where it began
        return now.main
    last = now.moves[0] if now.moves else None
    if last and last.action in ("rollback", "taken back") and now.differs:  # a way back that was cut off goes on
        return now.main
    if last and last.action == "rollback" and not sure and _recent(last.at):
        raise Conflict(
            f"{last.actor} has just rolled back from {last.before} to {last.revision} ({last.at}); "
            f"--from {now.main} goes back further"
        )
    if len(now.history) < 2:
        raise Unusable(f"it is not known what had the traffic before {now.main}; name it: --list, then --to")
    return now.history[1]


def _recent(at: str) -> bool:
    """Whether it may be of the same incident: a time that cannot be read, or that another clock has set ahead, may."""
    try:
        return datetime.now(UTC) - datetime.fromisoformat(at) < SAME_INCIDENT
    except (ValueError, TypeError):
        return True
