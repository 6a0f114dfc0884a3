"""The deployment record of a target that keeps it as JSON: revisions, traffic, its history and its moves."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from . import Conflict, Move, Revision, TargetError, Traffic

KEPT_MOVES = 50


def empty(main: str) -> dict[str, Any]:
    nothing: dict[str, Any] = {"main": main, "canary": "", "percent": 0.0, "history": [], "moves": []}
    return nothing | {"version": 0, "revisions": []}


def parsed(text: str, where: str, way_out: str) -> dict[str, Any]:
    """The record that a text has.

    Raises:
        TargetError: it has none: a hand, or a disk that was full, has changed it.
    """
    try:
        found: dict[str, Any] = json.loads(text)
        traffic(found), revisions(found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TargetError(f"{where} is no deployment record ({error!r}): {way_out}") from error
    return found


def revisions(record: dict[str, Any]) -> list[Revision]:
    return [Revision(**each) for each in record["revisions"]]


def image(record: dict[str, Any], name: str) -> str:
    return next((each["digest"] for each in record["revisions"] if each["name"] == name), "")


def add(record: dict[str, Any], artifact: str, schema: int, note: str) -> str:
    """Adds a revision; gives its name, the next number."""
    name = str(len(record["revisions"]) + 1)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record["revisions"].append(asdict(Revision(name, now, artifact, schema, note)))
    return name


def traffic(record: dict[str, Any]) -> Traffic:
    """Its token is the number of changes so far."""
    moves = tuple(Move(**move) for move in record["moves"])
    shares = (record["main"], record["canary"], record["percent"])
    return Traffic(*shares, history=tuple(record["history"]), moves=moves, token=record["version"])


def note(record: dict[str, Any], before: Traffic, after: Traffic) -> None:
    """Writes a change of `before` into the record.

    Raises:
        Conflict: the record has seen another change since.
    """
    if record["version"] != before.token:
        raise Conflict("somebody else has moved the traffic")
    record["version"] += 1
    record |= {"main": after.main, "canary": after.canary, "percent": after.percent}
    record |= {"history": list(after.history), "moves": [asdict(move) for move in after.moves[:KEPT_MOVES]]}
