"""Runs at the end of each `copier update`: merges again, where Copier's own merge would lose or bring back something.

Copier has asked, rendered and merged by then. Its answers stay. The files are merged from three trees: what the old
version renders with the old answers, what the team has committed, what this version renders with the new answers.
"""

import argparse
import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from copier import run_copy
from pathspec import PathSpec
from plumbum import local

from imports import Imports
from lockfile import with_own_packages
from merge import merged
from moved import moved, moves_between
from news import duties, sections
from report import Report
from trees import PLAIN, Blob, Repository, Tree

LOCKS = ("requirements.lock", "requirements-dev.lock")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("template", type=Path, help="a checkout of the version that is updated to")
    parser.add_argument("answers", help="the file of answers in the project")
    arguments = parser.parse_args()
    print(update(Path.cwd(), arguments.template, arguments.answers).text(), end="")


def update(project: Path, template: Path, answers: str) -> Report:
    """Merge this version into a project that Copier has just updated, and say what came of it."""
    repository = Repository(project)
    last = yaml.safe_load(repository.git("show", f"HEAD:./{answers}"))
    now = yaml.safe_load((project / answers).read_text())
    changelogs = changelog(template, "HEAD"), changelog(template, last["_commit"])
    if output := os.environ.get("UPDATE_CHANGELOG"):  # for the text of a pull request
        Path(output).write_text(sections(*changelogs))
    asked = duties(*changelogs)
    report = Report(last["_commit"], now["_commit"], asked)
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder).resolve() / "before", Path(folder).resolve() / "after"
        rendered(template, last["_commit"], last, answers, before)
        rendered(template, "HEAD", now, answers, after)
        package = now["service_name"].replace("-", "_")
        moves = moves_between(template, last["_commit"], package, before, after)
        imports = Imports(package, moves, before, after)
        was, theirs = repository.stored(before), repository.stored(after)
    base = moved(was, moves)
    committed = repository.committed()
    ours = moved(committed, moves)
    report.moved = {old: new for old, new in moves.items() if new in ours and ours[new] != base.get(new)}
    for tree in (base, ours, theirs):
        del tree[answers]

    owned = yaml.safe_load((template / "copier.yml").read_text())["_skip_if_exists"]
    kept = left_alone(owned, base, ours, theirs)
    report.newer = [path for path, blob in kept.items() if ours.get(path) == blob != theirs.get(path, blob)]
    report.newer_tree = repository.tree_object(theirs) if report.newer else ""
    locks, report.own_packages = joined_locks(repository, base, ours, kept)
    merge = merged(repository, base, ours, kept)
    report.conflicts, report.given_up = merge.conflicts, merge.given_up
    report.followed = follow(repository, imports, merge.tree, theirs)
    answered = Blob(PLAIN, repository.store((project / answers).read_bytes()))
    result = merge.tree | locks | {answers: answered}
    report.changed = result != committed
    open_ones = (*merge.conflicts, *merge.given_up)
    sides = {path: [tree.get(path) for tree in (base, ours, kept)] for path in open_ones}
    repository.write(result, sides, was.keys() | theirs.keys())
    return report


def rendered(template: Path, version: str, given: Mapping[str, Any], answers: str, folder: Path) -> None:
    """Render a version of the template, from the history of its checkout, as Copier does."""
    source = folder.with_name(f"{folder.name}-template")
    archive = subprocess.run(["git", "archive", version], cwd=template, stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(source, filter="data")
    data = {name: answer for name, answer in given.items() if not name.startswith("_")}
    with local.env(PATH=""):  # without git, which Copier would ask once a file for the executable bit
        run_copy(str(source), folder, data, answers_file=answers, defaults=True, unsafe=True, quiet=True)


def changelog(template: Path, version: str) -> str:
    """What a version's changelog says, nothing where it has none."""
    command = ["git", "show", f"{version}:CHANGELOG.md"]
    done = subprocess.run(command, cwd=template, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def left_alone(owned: Iterable[str], base: Tree, ours: Tree, theirs: Tree) -> Tree:
    """The new version's files without a change of what is the team's, and without a new file where it has its own."""
    for pattern in owned:
        mine = PathSpec.from_lines("gitignore", [pattern]).match_file
        if any(map(mine, [*base, *ours])):
            rest = {path: blob for path, blob in theirs.items() if not mine(path)}
            theirs = rest | {path: blob for path, blob in base.items() if mine(path)}
    return theirs


def joined_locks(repository: Repository, base: Tree, ours: Tree, theirs: Tree) -> tuple[Tree, list[str]]:
    """Locks with the template's new pins and the team's packages, and the names of these: no lock is merged as text."""
    joined: Tree = {}
    own: set[str] = set()
    for lock in LOCKS:
        if lock in theirs and lock in ours and ours[lock].is_file:
            contents = [repository.content(tree.pop(lock, None)) for tree in (base, ours, theirs)]
            sides = [content.decode().replace("\r\n", "\n") for content in contents]
            text, packages = with_own_packages(*sides)
            joined[lock] = Blob(PLAIN, repository.store(text.encode()))
            own.update(packages)
    return joined, sorted(own)


def follow(repository: Repository, imports: Imports, tree: Tree, theirs: Tree) -> list[str]:
    """Mend imports of what has moved, in the files that are not the template's alone; give their paths."""
    followed = []
    for path, blob in tree.items() if imports.moved else ():
        if path.endswith(".py") and blob.is_file and blob != theirs.get(path):
            text = repository.content(blob).decode()
            mended = imports.followed(path, text, repository.content(theirs.get(path)).decode())
            if mended != text:
                tree[path] = Blob(blob.mode, repository.store(mended.encode()))
                followed.append(path)
    return followed


if __name__ == "__main__":
    main()
