"""Lists services with the version of the template that each is at, and how far behind it is (`make fleet`).

A source is a folder with checkouts, a checkout, or the address of a repository, which may hold several services.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
ANSWERS = ".copier-answers.yml"


@dataclass
class Service:
    """One line of the list. Nothing is known about how far behind a service is that comes from an unknown commit."""

    name: str
    where: str
    version: str
    commits_behind: int | None
    releases_behind: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="*", help="folders, checkouts, addresses of repositories")
    parser.add_argument("--file", type=Path, help="a file with one source a line")
    parser.add_argument("--template", type=Path, default=ROOT, help="a checkout of the template, with its tags")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    listed = options.file.read_text().split("\n") if options.file else []
    sources = [*options.sources, *(line.strip() for line in listed if line.strip() and not line.startswith("#"))]
    if not sources:
        parser.error("Name at least one folder, checkout or repository.")
    services = [service for source in sources for service in found(source, options.template)]
    services.sort(key=lambda service: (-len(service.releases_behind), -(service.commits_behind or 0), service.name))
    print(json.dumps([asdict(service) for service in services], indent=2) if options.json else table(services))


def found(source: str, template: Path) -> Iterator[Service]:
    """The services in one source."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(source)
        if not path.is_dir():
            path = Path(folder)
            clone = ["git", "clone", "--quiet", "--depth", "1", source, folder]
            if subprocess.run(clone, check=False).returncode != 0:
                print(f"{source}: cannot be read", file=sys.stderr)
                return
        for file in sorted(path.glob(f"**/{ANSWERS}")):
            answers = yaml.safe_load(file.read_text())
            if "service_name" in answers and "_commit" in answers:
                where = source if file.parent == path else f"{source.rstrip('/')}/{file.parent.relative_to(path)}"
                yield Service(answers["service_name"], where, answers["_commit"], *behind(answers["_commit"], template))


def behind(version: str, template: Path) -> tuple[int | None, list[str]]:
    """How many commits, and which releases, lie between a version and the newest one of the template."""
    tags = git(template, "tag", "--list", "v*", "--sort=version:refname").split()
    newest = tags[-1] if tags else "HEAD"
    try:
        commits = int(git(template, "rev-list", "--count", f"{version}..{newest}"))
        passed = set(git(template, "tag", "--list", "v*", "--merged", version).split())
    except subprocess.CalledProcessError:
        return None, []
    return commits, [tag for tag in tags if tag not in passed]


def table(services: list[Service]) -> str:
    """A line for each service, those that are furthest behind first."""
    rows = [("service", "version", "behind", "where")]
    for service in services:
        if service.commits_behind is None:
            far = "unknown version"
        elif service.releases_behind:
            far = f"{len(service.releases_behind)} releases ({', '.join(service.releases_behind)})"
        else:
            far = f"{service.commits_behind} commits" if service.commits_behind else "-"
        rows.append((service.name, service.version, far, service.where))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    )


def git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
