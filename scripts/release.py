"""Releases a version of the template (`make release VERSION=1.2.0`): checks it, tests updates to it, and tags it.

A release is a tag on a commit of main, and its text is the version's part of the changelog. Nothing is pushed.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DUTIES = "### What you must do"
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
UPDATE_TESTS = ("tests/test_updates.py", "tests/test_next_version.py", "tests/test_update_from_history.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="such as 1.2.0")
    parser.add_argument("--tagged", action="store_true", help="check a version that is tagged already (release.yml)")
    parser.add_argument("--notes", action="store_true", help="print the release's text, and do nothing else")
    arguments = parser.parse_args()
    changelog = (ROOT / "CHANGELOG.md").read_text()
    if arguments.notes:
        print(notes(arguments.version, changelog))
        return
    tags = [tag.removeprefix("v") for tag in git("tag", "--list", "v*").split()]
    released = [tag for tag in tags if not arguments.tagged or tag != arguments.version]
    if found := problems(arguments.version, changelog, released, git("status", "--porcelain")):
        sys.exit("\n".join(found))
    subprocess.run([sys.executable, "-m", "pytest", *UPDATE_TESTS], cwd=ROOT, check=True)
    if not arguments.tagged:
        git("tag", "--annotate", f"v{arguments.version}", "--message", notes(arguments.version, changelog))
        print(f"Tagged. To publish: git push origin main v{arguments.version}")


def problems(version: str, changelog: str, released: list[str], uncommitted: str) -> list[str]:
    """What stands against a release, a sentence each."""
    if not VERSION.fullmatch(version):
        return [f"{version!r} is no version. Give three numbers, such as 1.2.0."]
    found = []
    if uncommitted:
        found.append("There are changes that are not committed. Commit them first.")
    if not (text := notes(version, changelog)):
        found.append(f"CHANGELOG.md has no section '## [{version}] - <date>'. Write one, from what is unreleased.")
    if unreleased := notes("Unreleased", changelog):
        found.append(f"CHANGELOG.md still has something unreleased: {unreleased.splitlines()[0]}")
    numbers = tuple(map(int, version.split(".")))
    last = max((tuple(map(int, tag.split("."))) for tag in released if VERSION.fullmatch(tag)), default=(0, 0, 0))
    if numbers <= last:
        found.append(f"{version} does not come after {'.'.join(map(str, last))}.")
    elif DUTIES in text and numbers[0] == last[0]:
        found.append(f"{version} asks something of services ('{DUTIES}'). So it is a major version.")
    return found


def notes(version: str, changelog: str) -> str:
    """A version's part of the changelog."""
    found = re.search(rf"^## \[{re.escape(version)}\].*\n((?:(?!## ).*\n?)*)", changelog, re.M)
    return found[1].strip() if found else ""


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
