"""The generated lock: joins the tested, hash-pinned pieces in locks/ that the answers need.

A piece is two files: `name.in` lists its requirements, `name.txt` is its lock (`make lock`). All pieces are compiled
under the same constraints, so two pieces may differ in a package's marker, but never in its version.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from jinja2 import Environment
from jinja2.ext import Extension

LOCKS = Path(__file__).parent.parent / "locks"
# Providers that use another provider's client.
CLIENT_OF = {"openai_compatible": "openai"}
# The base piece reads these two sources.
SECRETS_WITHOUT_CLIENT = {"env", "files"}

_PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[^ ;]+)( ; (?P<marker>.+?))?(?= \\\n)")
_REQUIREMENT = re.compile(r"(?P<name>[a-z0-9-]+)(\[(?P<extras>[a-z0-9,-]+)\])?(?P<bounds>.*)")


class LockError(ValueError):
    """The pieces contradict each other: `make lock` has not compiled all of them."""


def pieces(
    variants: Iterable[str],
    model_provider: str,
    fallback_provider: str,
    secrets_source: str,
    event_broker: str = "none",
) -> list[str]:
    """Names of the pieces that a service with these answers needs at run time."""
    needed = list(variants)
    if "serverless" in needed:  # the functions serve the gateway's application; SQS and DynamoDB keep the tasks
        needed = ["gateway", *(name for name in needed if name not in ("gateway", "queue"))]
    names = ["base", *needed]
    for provider in (model_provider, fallback_provider):
        piece = f"provider-{CLIENT_OF.get(provider, provider)}"
        if provider != "none" and piece not in names:
            names.append(piece)
    if secrets_source not in SECRETS_WITHOUT_CLIENT:
        names.append(f"secrets-{secrets_source}")
    if event_broker != "none":
        names.append(f"broker-{event_broker}")
    return names


def dev_pieces(variants: Iterable[str], event_broker: str = "none") -> list[str]:
    """Names of the pieces that the tests and checks of such a service need."""
    names = ["dev", *(["dev-serverless"] if "serverless" in variants else [])]
    return [*names, "dev-kafka"] if event_broker == "kafka" else names


def joined_lock(names: Iterable[str]) -> str:
    """The lock of several pieces; equals the output of `uv pip compile` for all of them, line by line."""
    return join([(LOCKS / f"{name}.txt").read_text() for name in names])


def join(locks: Iterable[str]) -> str:
    """Join locks by package name. If one lock needs a package without a marker, so does the join."""
    entries: dict[str, tuple[str, str | None, str]] = {}
    for lock in locks:
        for entry in re.split(r"\n(?=[a-z0-9])", lock.strip("\n")):
            if not (pin := _PIN.match(entry)):
                raise LockError(f"Not a pinned, hashed requirement: {entry.splitlines()[0]!r}. Run `make lock`.")
            name, version, marker = pin["name"], pin["version"], pin["marker"]
            known_version, known_marker, _ = entries.setdefault(name, (version, marker, entry[pin.end() :]))
            if known_version != version:
                raise LockError(f"{name} is locked as {known_version} and as {version}. Run `make lock`.")
            if known_marker != marker:
                entries[name] = (version, _weaker(known_marker, marker), entries[name][2])
    return "".join(
        f"{name}=={version}{f' ; {marker}' if marker else ''}{hashes}\n"
        for name, (version, marker, hashes) in sorted(entries.items())
    )


def _weaker(one: str | None, other: str | None) -> str | None:
    """The marker that holds if either does; None if either is None."""
    if one is None or other is None:
        return None
    return " or ".join(sorted({*one.split(" or "), *other.split(" or ")}))


def with_own_packages(before: str, our: str, their: str) -> tuple[str, list[str]]:
    """The template's new lock with what the team's lock has beside the old one, and the names of these packages.

    The template's pins are the new ones, the team's stay as they are: as long as they agree, what `make lock` gives.
    """
    if our == before:
        return their, []
    mine, known = _entries(our), {**_entries(before), **_entries(their)}
    own = {name: entry for name, entry in mine.items() if name not in known}
    return "".join(entry for _, entry in sorted({**_entries(their), **own}.items())), sorted(own)


def _entries(lock: str) -> dict[str, str]:
    """The lines of each package in a lock, also of one that comes from elsewhere than an index."""
    entries: dict[str, str] = {}
    for entry in re.findall(r"^[A-Za-z0-9].*\n(?:[ \t#].*\n)*", lock, re.M):
        name = re.split(r"[^A-Za-z0-9._-]", entry, maxsplit=1)[0].lower()
        entries[name] = entries.get(name, "") + entry  # twice where versions differ by platform
    return entries


def joined_requirements(names: Iterable[str]) -> list[str]:
    """The requirements of several pieces: each package once, with the extras of all pieces."""
    needed: dict[str, tuple[set[str], str]] = {}
    for name in names:
        for line in (LOCKS / f"{name}.in").read_text().splitlines():
            if not line or line.startswith("#"):
                continue
            if not (requirement := _REQUIREMENT.fullmatch(line)):
                raise LockError(f"locks/{name}.in: not a requirement: {line!r}.")
            extras, bounds = needed.setdefault(requirement["name"], (set(), requirement["bounds"]))
            extras.update(filter(None, (requirement["extras"] or "").split(",")))
            if bounds != requirement["bounds"]:
                raise LockError(f"locks/{name}.in: {requirement['name']} has other bounds in another piece.")
    return [
        f"{name}[{','.join(sorted(extras))}]{bounds}" if extras else f"{name}{bounds}"
        for name, (extras, bounds) in sorted(needed.items())
    ]


class LockfileExtension(Extension):
    """Makes the functions above globals of the template."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals["pieces"] = pieces
        environment.globals["dev_pieces"] = dev_pieces
        environment.globals["joined_lock"] = joined_lock
        environment.globals["joined_requirements"] = joined_requirements
