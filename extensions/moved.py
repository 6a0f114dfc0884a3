"""What the template has moved: a team's edits go along, and a file that it has deleted does not come back elsewhere.

The template's own history says what was moved. `moved.yml` has what git does not see there: a file that became several.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from trees import Tree

TABLE = Path(__file__).with_name("moved.yml")
FILES = "template/"


def moves_between(template: Path, since: str, package: str, before: Path, after: Path) -> dict[str, str]:
    """Old and new paths of what moved since a version, in folders that hold that version and the checked-out one."""
    table: dict[str, str] = yaml.safe_load(TABLE.read_text())
    moves = {**_seen_by_git(template, since), **table}
    paths = {in_project(old, package): in_project(new, package) for old, new in moves.items()}
    return {
        old: new
        for old, new in paths.items()
        if (before / old).is_file() > (after / old).is_file() and (after / new).is_file() > (before / new).is_file()
    }


def _seen_by_git(template: Path, since: str) -> dict[str, str]:
    """Each path that was renamed since a version, and where it ended after all its renames."""
    log = ["git", "-c", "log.showSignature=false", "log", "--reverse", "--topo-order", "--name-status", "--format="]
    command = [*log, "-z", "--diff-filter=R", "-M50%", "-l0", f"{since}..HEAD", "--", FILES]
    done = subprocess.run(command, cwd=template, stdout=subprocess.PIPE, text=True, check=True)
    fields = done.stdout.split("\0")
    places: dict[str, str] = {}
    for old, new in zip(fields[1::3], fields[2::3], strict=False):
        for first, place in places.items():
            if place == old:
                places[first] = new
        places.setdefault(old, new)
    return places


def in_project(path: str, package: str) -> str:
    """A template file's path in a project."""
    return path.removeprefix(FILES).removesuffix(".jinja").replace("[[ package_name ]]", package)


def moved(tree: Tree, moves: Mapping[str, str]) -> Tree:
    """A tree with its files at their new places, unless another file is there already."""
    return {(moves[path] if path in moves and moves[path] not in tree else path): blob for path, blob in tree.items()}
