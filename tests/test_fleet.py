"""The list of services says where each is, and how far behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, git


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A template with releases 1.0.0 and 1.10.0, and a commit before, between and after them."""
    template = tmp_path / "template"
    template.mkdir()
    git(template, "init", "--quiet")
    for tag in ("", "v1.0.0", "", "v1.10.0", ""):
        git(template, "commit", "--quiet", "--allow-empty", "--message", "feat: x")
        if tag:
            git(template, "tag", tag)
    return template


def service(folder: Path, name: str, version: str) -> None:
    folder.mkdir(parents=True)
    (folder / ".copier-answers.yml").write_text(f"_commit: {version}\nservice_name: {name}\n")


def fleet(template: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts/fleet.py", "--template", template, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_each_service_is_listed_with_what_it_has_missed(template: Path, tmp_path: Path) -> None:
    first = git(template, "rev-list", "--max-parents=0", "--abbrev-commit", "HEAD").strip()
    service(tmp_path / "fleet" / "old", "old", first)
    service(tmp_path / "fleet" / "several" / "services" / "one", "one", "v1.0.0")
    service(tmp_path / "fleet" / "new", "new", "v1.10.0")
    service(tmp_path / "fleet" / "strange", "strange", "0123abc")
    listed = json.loads(fleet(template, tmp_path / "fleet", "--json").stdout)
    assert {entry["name"]: (entry["commits_behind"], entry["releases_behind"]) for entry in listed} == {
        "old": (3, ["v1.0.0", "v1.10.0"]),
        "one": (2, ["v1.10.0"]),
        "new": (0, []),
        "strange": (None, []),
    }
    assert [entry["name"] for entry in listed][:2] == ["old", "one"], "the furthest behind comes first"
    table = fleet(template, tmp_path / "fleet").stdout
    assert "old      " in table
    assert "2 releases (v1.0.0, v1.10.0)" in table


def test_a_repository_is_read_by_its_address_and_one_that_is_none_is_named(template: Path, tmp_path: Path) -> None:
    service(tmp_path / "one", "one", "v1.0.0")
    git(tmp_path / "one", "init", "--quiet")
    git(tmp_path / "one", "add", "--all")
    git(tmp_path / "one", "commit", "--quiet", "--message", "feat: x")
    sources = tmp_path / "fleet.txt"
    sources.write_text(f"# ours\nfile://{tmp_path}/one\n\nfile://{tmp_path}/none\n")
    done = fleet(template, "--file", sources)
    assert "1 releases (v1.10.0)" in done.stdout
    assert f"file://{tmp_path}/none: cannot be read" in done.stderr


def test_a_template_without_releases_counts_commits(template: Path, tmp_path: Path) -> None:
    git(template, "tag", "--delete", "v1.0.0", "v1.10.0")
    first = git(template, "rev-list", "--max-parents=0", "--abbrev-commit", "HEAD").strip()
    service(tmp_path / "fleet" / "old", "old", first)
    assert "4 commits" in fleet(template, tmp_path / "fleet").stdout
