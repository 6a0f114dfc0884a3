"""A project's git repository, as trees: dictionaries from paths below the project to blobs of its object store."""

import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import NamedTuple

PLAIN, EXECUTABLE = "100644", "100755"
NOTHING = f"0 {'0' * 40}"


class Blob(NamedTuple):
    """A file's mode and content, as git knows them."""

    mode: str
    sha: str

    @property
    def is_file(self) -> bool:
        """A link and another repository are none."""
        return self.mode in (PLAIN, EXECUTABLE)


Tree = dict[str, Blob]


class Repository:
    """The repository of a project, which may be one of several in it."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.prefix = self.git("rev-parse", "--show-prefix").decode().strip()

    def git(
        self, *arguments: str | Path, given: bytes | None = None, environment: Mapping[str, str] | None = None
    ) -> bytes:
        """Run git in the project's folder, without the team's hooks."""
        return subprocess.run(
            ["git", "-c", f"core.hooksPath={os.devnull}", *arguments],
            cwd=self.project,
            env={**os.environ, **(environment or {})},
            input=given,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout

    def committed(self) -> Tree:
        """What the team has committed last."""
        tree = {}
        for line in _split(self.git("ls-tree", "-r", "-z", "HEAD", "--", ".")):
            entry, path = line.split("\t", 1)
            mode, _, sha = entry.split()
            tree[path] = Blob(mode, sha)
        return tree

    def stored(self, folder: Path) -> Tree:
        """Put the files of a folder into the store."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = "".join(f"{path}\n" for path in files).encode()
        shas = self.git("hash-object", "-w", "--no-filters", "--stdin-paths", given=names).decode().split()
        return {
            path.relative_to(folder).as_posix(): Blob(EXECUTABLE if path.stat().st_mode & 0o100 else PLAIN, sha)
            for path, sha in zip(files, shas, strict=True)
        }

    def store(self, content: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", given=content).decode().strip()

    def content(self, blob: Blob | None) -> bytes:
        return self.git("cat-file", "blob", blob.sha) if blob else b""

    def tree_object(self, tree: Tree) -> str:
        """The name of a tree, by which a person can take files out of it."""
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            self._enter(tree, index)
            return self.git("write-tree", environment=index).decode().strip()

    def write(self, tree: Tree, conflicts: Mapping[str, Iterable[Blob | None]], rendered: Set[str]) -> None:
        """Make the working tree this one. Nothing is staged; conflicts leave their sides in the index.

        Of files that are not committed, it removes only those that Copier has `rendered`, and its `.rej` files.
        """
        self.git("reset", "--quiet", "--", ".")
        committed = self.committed()
        left_by_copier = _split(self.git("ls-files", "-z", "-m", "-o", "--exclude-standard"))
        differing = [path for path in {*tree, *committed} if tree.get(path) != committed.get(path)]
        for path in {*left_by_copier, *differing} - {*tree}:
            if path in committed or path.removesuffix(".rej") in rendered:
                (self.project / path).unlink(missing_ok=True)
                self._prune((self.project / path).parent)
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            written = {path: tree[path] for path in {*left_by_copier, *differing} & {*tree}}
            self._enter(written, index)
            paths = "\0".join(written).encode()
            self.git("checkout-index", "--force", "-z", "--stdin", given=paths, environment=index)
        entries = [f"{NOTHING}\t{self.prefix}{path}" for path in conflicts]
        for path, sides in conflicts.items():
            entries += [
                f"{side.mode} {side.sha} {stage}\t{self.prefix}{path}" for stage, side in enumerate(sides, 1) if side
            ]
        self.git("update-index", "-z", "--index-info", given="\0".join([*entries, ""]).encode())

    def _enter(self, tree: Tree, index: Mapping[str, str]) -> None:
        """Put a tree into an index of its own."""
        entries = [f"{blob.mode} {blob.sha} 0\t{self.prefix}{path}" for path, blob in tree.items()]
        self.git("update-index", "-z", "--index-info", given="\0".join([*entries, ""]).encode(), environment=index)

    def _prune(self, folder: Path) -> None:
        """Remove a folder that has become empty, and those above it."""
        while folder != self.project and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent


def _split(listed: bytes) -> list[str]:
    return [part for part in listed.decode().split("\0") if part]
