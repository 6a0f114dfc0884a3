"""Runs before a `copier update` writes anything: refuses it where it would overwrite a file that git does not keep.

Copier refuses untracked files itself, but it writes over those that git ignores, or is configured not to show.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import yaml
from pathspec import PathSpec

from moved import FILES, in_project


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("template", type=Path, help="a checkout of the version that is updated to")
    parser.add_argument("answers", help="the file of answers in the project")
    arguments = parser.parse_args()
    if found := in_the_way(Path.cwd(), arguments.template, arguments.answers):
        listed = "".join(f"  {path}\n" for path in found)
        sys.exit(
            "NOT UPDATED: git does not keep these files, and the template may write its own in their place:\n"
            f"{listed}Commit them (`git add --force`), or move them away. Then update again."
        )


def in_the_way(project: Path, template: Path, answers: str) -> list[str]:
    """Files of the project that are in no commit, where the template has files of its own."""
    package = yaml.safe_load((project / answers).read_text())["service_name"].replace("-", "_")
    never_written = PathSpec.from_lines(
        "gitignore", yaml.safe_load((template / "copier.yml").read_text())["_skip_if_exists"]
    )
    known = set(_listed(project))
    written = {in_project(path, package) for path in _listed(template, FILES)}
    return sorted(path for path in written - known if (project / path).is_file() and not never_written.match_file(path))


def _listed(folder: Path, *below: str) -> list[str]:
    command = ["git", "ls-files", "-z", "--", *(below or ".")]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split("\0")


if __name__ == "__main__":
    main()
