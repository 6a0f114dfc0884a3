"""What the template's changelog asks of a service since the version that it comes from."""

import re

DUTIES = "What you must do"
_SECTION = re.compile(r"^## \[([^\]]+)\].*\n((?:(?!## ).*\n?)*)", re.M)


def duties(now: str, before: str) -> list[tuple[str, str]]:
    """Each version of a changelog that asks something, oldest first, with those of its points that are new."""
    found = []
    for heading, section in _SECTION.findall(now):
        if asked := re.search(rf"^### {DUTIES}\n((?:(?!###? ).*\n?)*)", section, re.M):
            points = re.split(r"\n(?=- )", asked[1].strip())
            if new := [point for point in points if point not in before]:
                found.append((heading, "\n".join(new)))
    return found[::-1]


def sections(now: str, before: str) -> str:
    """The versions of a changelog that an older changelog does not have, newest first."""
    known = {found[1] for found in _SECTION.finditer(before)}
    return "\n".join(found[0].strip() + "\n" for found in _SECTION.finditer(now) if found[1] not in known)
