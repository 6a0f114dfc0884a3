"""Renders the files alone that hold substitutions, without Copier: for answers by the hundred."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pathspec import PathSpec

from answers import Answers
from conftest import ROOT
from files import FilesExtension, with_defaults
from lockfile import LockfileExtension
from naming import NamingExtension
from slo import SloExtension

TEMPLATE = ROOT / "template"
# Locks hold no name, and take the longest.
SUFFIXES = (".py", ".md", ".toml", ".yml", ".yaml")


@cache
def environment() -> Environment:
    config = yaml.safe_load((ROOT / "copier.yml").read_text())["_envops"] | {"undefined": StrictUndefined}
    return Environment(
        **config,
        loader=FileSystemLoader(ROOT),
        extensions=[
            "jinja2_ansible_filters.AnsibleCoreFiltersExtension",
            NamingExtension,
            LockfileExtension,
            FilesExtension,
            SloExtension,
        ],
    )


@cache
def template(path: Path) -> Any:
    return environment().from_string(path.read_text())


@cache
def sources() -> list[tuple[Path, str]]:
    """Template files with substitutions, and modules without, with their paths in a project."""
    found = [
        path
        for path in sorted(TEMPLATE.rglob("*.*"))
        if path.suffix == ".py" or (path.suffix == ".jinja" and path.with_suffix("").suffix in SUFFIXES)
    ]
    paths = [(path, path.relative_to(TEMPLATE).as_posix().removesuffix(".jinja")) for path in found]
    return [(path, target) for path, target in paths if target != ".copier-answers.yml"]


def render_substituted(answers: Answers, folder: Path, naming: tuple[str, ...] = ("",)) -> list[Path]:
    """Write these files into a folder, as a project with these answers has them; or those alone that name something."""
    config = yaml.safe_load((ROOT / "copier.yml").read_text())
    context = with_defaults(environment(), config, {"_folder_name": "my-agent", **answers})
    absent = environment().from_string("[[ absent_files() ]]").render(**context)
    excluded = PathSpec.from_lines("gitignore", absent.splitlines())
    written = []
    for source, path in sources():
        target = path.replace("[[ package_name ]]", context["package_name"])
        if excluded.match_file(target):
            continue
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".jinja" and any(name in source.read_text() for name in naming):
            (folder / target).write_text(template(source).render(**context))
            written.append(folder / target)
        else:
            (folder / target).touch()  # by which ruff tells the project's imports from those of others
    return written
