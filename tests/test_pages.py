"""The template's own pages are true of what it renders."""

import re
import tomllib

import yaml

from answers import SERVERLESS
from conftest import ROOT, Render


def test_the_page_for_maintainers_shows_every_room_from_top_to_bottom(render: Render) -> None:
    project = render(SERVERLESS[-1])
    [package] = (project / "src").iterdir()
    contracts = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [layer.split(" | ") for layer in contracts[0]["layers"]]
    rooms = {path.name + "/" * path.is_dir() for path in package.iterdir()} - {"__init__.py"}
    diagram = (ROOT / "docs" / "how-to" / "maintain.md").read_text().split("```")[3]
    shown = [names for line in diagram.splitlines() if (names := re.findall(r"\b([a-z]+(?:/|\.py))(?=\s|$)", line))]
    assert {name for names in shown for name in names} == rooms
    assert [sorted(name.rstrip("/").removesuffix(".py") for name in names) for names in shown] == [
        sorted(layer) for layer in layers
    ]


def test_the_page_about_trust_names_every_extension() -> None:
    extensions = yaml.safe_load((ROOT / "copier.yml").read_text())["_jinja_extensions"][1:]
    page = (ROOT / "docs" / "how-to" / "use.md").read_text()
    assert sorted(re.findall(r"`(extensions/\w+\.py)`", page)) == sorted(
        [*(extension.partition(":")[0] for extension in extensions), "extensions/in_the_way.py", "extensions/update.py"]
    )


def test_a_line_of_text_that_ends_with_a_tag_keeps_its_line_end() -> None:
    """Jinja drops the line end behind `%]`, and the next paragraph, item or heading moves up; behind `+%]` it stays."""
    tag = re.compile(r"\[%.*?%\]", re.DOTALL)
    joined = []
    for file in (ROOT / "template").rglob("*.jinja"):
        text = file.read_text(encoding="utf-8")
        for found in tag.finditer(text):
            before = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
            if text.startswith("\n", found.end()) and tag.sub("", before).strip() and not found[0].endswith("+%]"):
                joined.append(f"{file.relative_to(ROOT)}:{text.count(chr(10), 0, found.end()) + 1}")
    assert joined == []
