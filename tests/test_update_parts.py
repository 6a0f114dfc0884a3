"""The parts of an update, each by itself: lines, imports, locks, news, and which files an answer brings."""

from pathlib import Path

import pytest
import yaml
from jinja2 import Environment, StrictUndefined

import lockfile
from conftest import ROOT, git
from files import FilesExtension
from imports import Imports
from lines import merged_file, merged_lines
from lockfile import LockfileExtension
from naming import NamingExtension, first_steps, new_name_problem, project_title
from news import duties, sections

PIN = "{0}=={1} \\\n    --hash=sha256:aa\n"


@pytest.mark.parametrize(
    ("ours", "base", "theirs", "merged"),
    [
        ("a\nb\nours\n", "a\nb\n", "a\nB\n", "a\nB\nours\n"),
        ("ours\na\nb\n", "a\nb\n", "A\nb\n", "ours\nA\nb\n"),
        ("a\nB\n", "a\nb\n", "a\nb\ntheirs\n", "a\nB\ntheirs\n"),
        ("a\nsame\n", "a\nb\n", "a\nsame\n", "a\nsame\n"),
    ],
)
def test_a_line_beside_a_changed_one_is_no_conflict(ours: str, base: str, theirs: str, merged: str) -> None:
    assert merged_lines(ours, base, theirs) == (merged, True)


def test_two_changes_of_a_line_are_a_conflict_with_both_sides() -> None:
    text, clean = merged_lines("a\nours\nc\n", "a\nb\nc\n", "a\ntheirs\nc\n")
    assert not clean
    assert text == "a\n<<<<<<< yours\nours\n=======\ntheirs\n>>>>>>> the template now\nc\n"


def test_a_team_s_line_ends_are_no_change_of_each_line() -> None:
    ours = b"ours\r\nb\r\nc\r\n"
    assert merged_file("README.md", ours, b"a\nb\nc\n", b"a\nb\nnew\n") == (b"ours\r\nb\r\nnew\r\n", True)


def test_a_file_that_is_no_text_stays_the_team_s() -> None:
    for binary in (b"\xff\x00ours", b"ours\x00"):
        assert merged_file("logo.png", binary, b"base", b"theirs") == (binary, False)


def test_dependencies_that_both_have_added_at_one_place_are_both_there() -> None:
    base = '[project]\ndependencies = [\n  "a>=1",\n  "c>=1",\n]\nlayers = [\n  "x",\n]\n'
    ours, theirs = base.replace('  "c', '  "b>=1",\n  "c'), base.replace('  "c', '  "bb>=1",\n  "c')
    text, clean = merged_file("pyproject.toml", ours.encode(), base.encode(), theirs.encode())
    assert clean
    assert text.decode() == theirs.replace('  "c>=1",\n', '  "c>=1",\n  "b>=1",\n')


@pytest.fixture
def imports(tmp_path: Path) -> Imports:
    before, after = tmp_path / "before", tmp_path / "after"
    old = {
        "src/it/outbound.py": "class Outbound: ...\nclass Unavailable: ...\n",
        "src/it/guard.py": "class Guards: ...\n",
        "src/it/models.py": "def guarded() -> None: ...\ndef routed() -> None: ...\n",
        "tests/upstream.py": "class Upstream: ...\n",
    }
    new = {
        "src/it/guard/outbound.py": "class Outbound: ...\nclass Unavailable: ...\n",
        "src/it/guard/__init__.py": '__all__ = ["Guards"]\n',
        "src/it/toolkit/__init__.py": '__all__ = ["Deps", "Unavailable"]\n',
        "src/it/models/guarded.py": "def guarded() -> None: ...\n",
        "src/it/models/routing.py": "def routed() -> None: ...\n",
        "tests/support/upstream.py": "class Upstream: ...\n",
        "tests/models/test_routing.py": "OURS = 1\n",
    }
    for folder, files in ((before, old), (after, new)):
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
    moves = {
        "src/it/outbound.py": "src/it/guard/outbound.py",
        "src/it/guard.py": "src/it/guard/policy.py",
        "src/it/models.py": "src/it/models/guarded.py",
        "tests/upstream.py": "tests/support/upstream.py",
    }
    return Imports("it", moves, before, after)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("src/it/agent/tools.py", "from ..outbound import Outbound", "from ..guard.outbound import Outbound"),
        ("src/it/agent/tools.py", "from ..outbound import Unavailable", "from ..toolkit import Unavailable"),
        ("src/it/agent/tools/a.py", "from ...outbound import Unavailable", "from ...toolkit import Unavailable"),
        ("tests/agent/test_x.py", "from it.guard import Guards", "from it.guard import Guards"),
        ("tests/agent/test_x.py", "from it.models import routed", "from it.models.routing import routed"),
        ("tests/agent/test_x.py", "from it.models import OURS", "from it.models.guarded import OURS"),
        ("tests/agent/test_x.py", "from it import outbound", "from it.guard import outbound"),
        ("tests/agent/test_x.py", "import it.outbound", "import it.guard.outbound"),
        ("tests/agent/test_x.py", 'patch("it.outbound.Outbound")', 'patch("it.guard.outbound.Outbound")'),
        ("tests/agent/test_x.py", "from upstream import Upstream", "from support.upstream import Upstream"),
        ("tests/agent/test_x.py", "from json import dumps", "from json import dumps"),
        (
            "tests/agent/test_x.py",
            "from it.outbound import Outbound, Unavailable",
            "from it.guard.outbound import Outbound\nfrom it.toolkit import Unavailable",
        ),
    ],
)
def test_an_import_follows_what_has_moved(imports: Imports, path: str, old: str, new: str) -> None:
    assert imports.followed(path, f"{old}\n", "") == f"{new}\n"


def test_a_line_of_the_template_s_own_version_is_right_as_it_is(imports: Imports) -> None:
    line = "from it.outbound import Outbound\n"
    assert imports.followed("src/it/x.py", line, line) == line


def test_a_file_that_is_no_python_is_left_alone(imports: Imports) -> None:
    text = "<<<<<<< yours\nfrom it.outbound import Outbound\n"
    assert imports.followed("src/it/x.py", text, "") == text


def test_a_lock_keeps_the_team_s_packages_on_the_template_s_new_pins() -> None:
    before, their = PIN.format("a", "1") + PIN.format("c", "1"), PIN.format("a", "2") + PIN.format("c", "1")
    our = PIN.format("a", "1") + PIN.format("b", "5") + PIN.format("c", "1") + "d @ https://example.com/d.zip\n"
    lock, own = lockfile.with_own_packages(before, our, their)
    assert own == ["b", "d"]
    assert (
        lock == PIN.format("a", "2") + PIN.format("b", "5") + PIN.format("c", "1") + "d @ https://example.com/d.zip\n"
    )
    assert lockfile.with_own_packages(before, before, their) == (their, [])


def test_a_duty_is_told_once() -> None:
    old = "## [1.0.0]\n\n### What you must do\n\n- Walk.\n"
    new = f"## [Unreleased]\n\n### What you must do\n\n- Run,\n  fast.\n\n### Added\n\n- Shoes.\n\n{old}"
    assert duties(new, old) == [("Unreleased", "- Run,\n  fast.")]
    assert duties(new, "") == [("1.0.0", "- Walk."), ("Unreleased", "- Run,\n  fast.")]
    assert duties(new.replace("Unreleased", "1.1.0"), new) == []
    assert sections(new, old) == new.removesuffix(old).strip() + "\n"


def test_a_project_is_called_like_its_folder_where_that_can_be_a_name() -> None:
    assert project_title("myservice") == "Myservice"
    assert project_title("invoice_agent") == "Invoice Agent"
    assert {project_title(name) for name in ("json", "2024", "été", "", "a b", "x" * 41)} == {"My Agent"}


def test_a_service_keeps_its_name(tmp_path: Path) -> None:
    assert new_name_problem("one", tmp_path, ".copier-answers.yml") == ""
    (tmp_path / ".copier-answers.yml").write_text("service_name: json\n")
    assert new_name_problem("json", tmp_path, ".copier-answers.yml") == "", "a name in use, whatever the rules are now"
    assert "is called json" in new_name_problem("one", tmp_path, ".copier-answers.yml")


def test_the_first_steps_begin_a_repository_only_where_there_is_none(tmp_path: Path) -> None:
    assert f"cd {tmp_path}/a\ngit init && git add ." in first_steps(tmp_path / "a")
    (tmp_path / ".git").mkdir()
    assert f"cd {tmp_path}/a\ngit add . && git commit" in first_steps(tmp_path / "a")


def question_sets() -> dict[str, dict[str, object]]:
    """Every set of questions that the template has ever asked, with the settings of its Jinja environment."""
    commits = git(ROOT, "log", "--format=%h", "--", "copier.yml").split()
    return {commit: yaml.safe_load(git(ROOT, "show", f"{commit}:copier.yml")) for commit in commits}


def test_every_line_of_exclude_renders_with_each_earlier_set_of_questions_and_with_none() -> None:
    config = yaml.safe_load((ROOT / "copier.yml").read_text())
    for asked in [{}, *question_sets().values()]:
        answers = {name: "x" for name in asked if not name.startswith("_")}
        environment = Environment(**{**config["_envops"], "undefined": StrictUndefined})
        for line in config["_exclude"]:
            environment.from_string(line).render(**answers)


@pytest.mark.parametrize("known", [{}, {"variants": ["queue"]}, {"ci": "none"}])
def test_the_table_of_files_needs_no_answer(known: dict[str, object]) -> None:
    config = yaml.safe_load((ROOT / "copier.yml").read_text())
    environment = Environment(
        **{**config["_envops"], "undefined": StrictUndefined},
        extensions=[NamingExtension, LockfileExtension, FilesExtension],
    )
    absent = environment.from_string("[[ absent_files() ]]").render(**known).split("\n")
    assert ("src/*/queue" in absent) == ("queue" not in known.get("variants", ["gateway"]))  # type: ignore[operator]
    assert (".github" in absent) == (known.get("ci", "github") != "github")


def test_exclude_names_no_answer() -> None:
    config = yaml.safe_load((ROOT / "copier.yml").read_text())
    lines = [line for line in config["_exclude"] if "[%" in line or "[[" in line]
    assert lines == ["[% if absent_files is defined %][[ absent_files() ]][% endif %]"]


def test_every_path_of_the_table_is_one_of_the_template() -> None:
    config = yaml.safe_load((ROOT / "copier.yml").read_text())
    paths = [pattern for patterns in config["_files"].values() for pattern in patterns]
    template = ROOT / "template"
    assert [path for path in paths if not [*template.glob(path), *template.glob(f"{path}.jinja")]] == []
