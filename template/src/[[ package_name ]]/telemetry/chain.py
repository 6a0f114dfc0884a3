"""The hash chain of audit records, and the checks of `audit verify`."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

GENESIS = "0" * 64  # the predecessor's hash in the first record of a chain
_FIELDS = {"chain", "sequence", "previous", "hash"}  # a line that has all of them is a record, whatever it says it is


def canonical(body: dict[str, object]) -> str:
    """The hashed text of a record."""
    return json.dumps(body, sort_keys=True, ensure_ascii=False)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


@dataclass
class Chain:
    """The records of one chain in a trail."""

    name: str
    first_line: int
    first: int  # sequence numbers
    last: int = 0
    last_hash: str = GENESIS


@dataclass
class Verdict:
    """The problems of a trail, one sentence each, and its chains."""

    problems: list[str] = field(default_factory=list)
    chains: list[Chain] = field(default_factory=list)


def verify(lines: Iterable[str], *, follows: str = "", expect: str = "") -> Verdict:
    """Checks a trail; skips log lines between its records.

    Args:
        follows: after a rotation, the hash of the last record of the file before this one.
        expect: the hash of a record that must be in the trail. Without it, a removed tail cannot be found.
    """
    verdict = Verdict()
    chains: dict[str, Chain] = {}
    expected = not expect
    for number, line in enumerate(lines, start=1):
        twice: list[str] = []
        record = _record(line, twice)
        if record is None:
            if '"audit"' in line:
                verdict.problems.append(f"line {number}: the record is incomplete")
            continue
        if record.get("audit") is not True and not _FIELDS.issubset(record):
            continue
        if twice:
            verdict.problems.append(f"line {number}: the record has {', '.join(sorted(set(twice)))} twice")
        claimed = record.pop("hash", None)
        if digest(canonical(record)) != claimed:
            verdict.problems.append(f"line {number}: the record was changed after it was written")
        name, sequence, previous = str(record.get("chain", "")), record.get("sequence"), record.get("previous")
        if not isinstance(sequence, int):
            verdict.problems.append(f"line {number}: the record has no sequence number")
            sequence = 0
        if name not in chains:
            chains[name] = Chain(name, number, sequence)
            verdict.chains.append(chains[name])
            known = (sequence == 1 and previous == GENESIS) or (follows != "" and previous == follows)
            if not known:
                verdict.problems.append(
                    f"line {number}: chain {name} begins here with record {sequence}; earlier ones were removed, or are"
                    f" in the file before this one, whose last hash --from names (the record says {previous})"
                )
        elif (sequence, previous) != (chains[name].last + 1, chains[name].last_hash):
            verdict.problems.append(f"line {number}: records before it are missing or out of order")
        chains[name].last, chains[name].last_hash = sequence, str(claimed)
        expected = expected or claimed == expect
    if not chains:
        verdict.problems.append("there are no audit records: none was written, or all were removed")
    if not expected:
        verdict.problems.append(f"no record has the hash {expect}: records at the end were removed")
    return verdict


def _record(line: str, twice: list[str]) -> dict[str, object] | None:
    """The JSON object in a line; appends repeated names to `twice`, since JSON keeps only their last value."""

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        names = [name for name, _ in items]
        twice.extend(name for name in names if names.count(name) > 1)
        return dict(items)

    try:
        record = json.loads(line, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
