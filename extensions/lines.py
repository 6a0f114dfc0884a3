"""Three-way merge of a file's lines: git's, and what git calls a conflict although nothing is in doubt."""

import re
import subprocess
import tempfile
from pathlib import Path

# What git writes beside the markers.
LABELS = ("yours", "the template before", "the template now")
_LIST = re.compile(r"^(dependencies|dev) = \[\n((?:.*\n)*?)\]$", re.M)
_REQUIREMENT = re.compile(r' *"([\w.-]+)')
_BLOCK = re.compile(
    rf"^<{{7}} {LABELS[0]}\n(?P<ours>(?:.*\n)*?)\|{{7}} {LABELS[1]}\n(?P<base>(?:.*\n)*?)={{7}}\n"
    rf"(?P<theirs>(?:.*\n)*?)>{{7}} {LABELS[2]}\n",
    re.M,
)


def merged_file(path: str, ours: bytes, base: bytes, theirs: bytes) -> tuple[bytes, bool]:
    """Both sides' changes of a file, and whether they are free of conflicts. What is no text stays the team's."""
    try:
        sides = [side.decode() for side in (ours, base, theirs)]
    except UnicodeDecodeError:
        return ours, False
    if any("\0" in side for side in sides):
        return ours, False
    windows = "\n" in sides[0] and sides[0].count("\n") == sides[0].count("\r\n")  # how all the team's lines end
    if windows:
        sides = [side.replace("\r\n", "\n") for side in sides]
    text, clean = merged_lines(*sides)
    if not clean and path == "pyproject.toml":
        own, without = own_requirements(*sides[:2])
        text, clean = merged_lines(without, *sides[1:])
        text = with_requirements(text, own)
    return (text.replace("\n", "\r\n") if windows else text).encode(), clean


def merged_lines(ours: str, base: str, theirs: str) -> tuple[str, bool]:
    """Merge as git does. A line that one side adds beside a line that the other one changes is no conflict, though."""
    text, clean = _git_merge_file(ours, base, theirs)
    if clean:
        return text, True
    blocks, _ = _git_merge_file(ours, base, theirs, "--diff3")
    unclear = False

    def resolved(block: re.Match[str]) -> str:
        nonlocal unclear
        our, before, their = block["ours"], block["base"], block["theirs"]
        if before:
            for one, other in ((our, their), (their, our)):
                if one.startswith(before):
                    return other + one[len(before) :]
                if one.endswith(before):
                    return one[: -len(before)] + other
        merged, clean = _git_merge_file(our, before, their)
        unclear = unclear or not clean
        return merged

    return _BLOCK.sub(resolved, blocks), not unclear


def _git_merge_file(ours: str, base: str, theirs: str, *options: str) -> tuple[str, bool]:
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("ours", "base", "theirs")]
        for file, content in zip(files, (ours, base, theirs), strict=True):
            file.write_bytes(content.encode())
        labels = [word for label in LABELS for word in ("-L", label)]
        command = ["git", "merge-file", "--stdout", *options, *labels, *map(str, files)]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=False)
    if done.returncode > 127:
        raise ValueError(f"git merge-file exited with {done.returncode}.")
    return done.stdout.decode(), done.returncode == 0


def own_requirements(ours: str, base: str) -> tuple[dict[str, list[str]], str]:
    """The lines that a team has added to each list of dependencies, and its project file without them."""
    known = {name: _REQUIREMENT.findall(lines) for name, lines in _LIST.findall(base)}
    own: dict[str, list[str]] = {}

    def rest(found: re.Match[str]) -> str:
        lines = found[2].splitlines(keepends=True)
        names = [name[1] if (name := _REQUIREMENT.match(line)) else None for line in lines]
        added = [name not in (*known.get(found[1], names), None) for name in names]
        own[found[1]] = [line for line, new in zip(lines, added, strict=True) if new]
        return f"{found[1]} = [\n{''.join(line for line, new in zip(lines, added, strict=True) if not new)}]"

    return own, _LIST.sub(rest, ours)


def with_requirements(project: str, own: dict[str, list[str]]) -> str:
    """A project file with the team's lines at the ends of its lists."""
    return _LIST.sub(lambda found: f"{found[1]} = [\n{found[2]}{''.join(own.get(found[1], []))}]", project)
