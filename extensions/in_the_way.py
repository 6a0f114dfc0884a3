"""Runs before a `copier update` writes anything: refuses it where a file of the team's is in the way.

Copier refuses untracked files itself, but it writes over those that git ignores, or is configured not to show. Where a
file meets a folder of the same name, it would end half-way.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import yaml
from pathspec import PathSpec

from moved import FILES, in_project


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("template", type=Path, help="a checkout of the version that is updated to")
    parser.add_argument("answers", help="the file of answers in the project")
    arguments = parser.parse_args()
    project = Path.cwd()
    paths = written(project, arguments.template, arguments.answers)
    if found := not_kept(project, paths):
        _refuse(
            "git does not keep these files, and the template may write its own in their place:",
            found,
            "Commit them (`git add --force`), or move them away.",
        )
    if other := of_another_kind(project, paths):
        _refuse(
            "these are folders where the template has a file, or files where it has a folder:", other, "Rename them."
        )


def _refuse(why: str, paths: Iterable[str], way_out: str) -> NoReturn:
    listed = "".join(f"  {path}\n" for path in sorted(paths))
    sys.exit(f"NOT UPDATED: {why}\n{listed}{way_out} Then update again.")


def written(project: Path, template: Path, answers: str) -> set[str]:
    """The paths of files that an update may write, whatever the answers."""
    package = yaml.safe_load((project / answers).read_text())["service_name"].replace("-", "_")
    owned = yaml.safe_load((template / "copier.yml").read_text())["_skip_if_exists"]
    never = PathSpec.from_lines("gitignore", owned).match_file
    return {path for file in _listed(template, FILES) if not never(path := in_project(file, package))}


def not_kept(project: Path, paths: set[str]) -> list[str]:
    """Files there that are in no commit."""
    return [path for path in paths - set(_listed(project)) if (project / path).is_file()]


def of_another_kind(project: Path, paths: set[str]) -> set[str]:
    """Folders where a file is to be, and files where a folder is to be."""
    above = {str(folder) for path in paths for folder in Path(path).parents}
    return {path for path in paths if (project / path).is_dir()} | {
        folder for folder in above if (project / folder).is_file()
    }


def _listed(folder: Path, *below: str) -> list[str]:
    command = ["git", "ls-files", "-z", "--", *(below or ".")]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    return list(filter(None, done.stdout.split("\0")))


if __name__ == "__main__":
    main()
