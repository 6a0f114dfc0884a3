"""The first run, exactly as in the README: from a fresh clone, with an empty HOME and without a terminal."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, TOOLS, clean_environment


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository, with its uncommitted changes."""
    clone = tmp_path_factory.mktemp("clone") / "agent-template"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    listed = subprocess.check_output(["git", "ls-files", "-com", "--exclude-standard"], cwd=ROOT, text=True)
    for name in filter(lambda name: (ROOT / name).is_file(), listed.splitlines()):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    return clone


@pytest.fixture
def newcomer(tmp_path: Path) -> dict[str, str]:
    """A newcomer's environment: an empty HOME; only the package cache is this machine's."""
    home = tmp_path / "home"
    home.mkdir()
    cache = os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))
    # The interpreter's real path: a version manager's shims look for their settings in HOME.
    python = Path(sys.base_prefix) / "bin"
    environment = clean_environment()
    return environment | {
        "HOME": str(home),
        "UV_CACHE_DIR": cache,
        "PATH": f"{python}{os.pathsep}{environment['PATH']}",
    }


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def demo(clone: Path, environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command or ("make", "demo"),
        cwd=clone,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


def test_make_demo_answers_a_question_and_stops(clone: Path, newcomer: dict[str, str], port: int) -> None:
    done = demo(clone, newcomer | {"PORT": str(port)})
    assert done.returncode == 0, done.stdout
    assert re.search(r"^question  Convert 12 km to miles\.$", done.stdout, re.M)
    assert re.search(r"^answer    .*7\.4", done.stdout, re.M)
    assert f"http://127.0.0.1:{port}" in done.stdout
    project = re.search(r"^project   (.+)$", done.stdout, re.M)
    assert project
    assert (Path(project[1]) / "src" / "my_agent").is_dir()
    shutil.rmtree(Path(project[1]).parent)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "the service still runs"
    assert list(Path(newcomer["HOME"]).rglob("*.py")) == [], "something was installed outside the project"


def test_a_busy_port_is_one_sentence(clone: Path, newcomer: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        done = demo(clone, newcomer | {"PORT": str(port)}, sys.executable, "scripts/demo.py")
    assert done.returncode == 1
    assert done.stdout == f"Port {port} is busy; choose another one: PORT={port + 1} make demo\n"


@pytest.mark.parametrize("port", ["http", "0", "70000", ""])
def test_an_invalid_port_is_one_sentence(clone: Path, newcomer: dict[str, str], port: str) -> None:
    done = demo(clone, newcomer | {"PORT": port}, sys.executable, "scripts/demo.py")
    assert done.returncode == 1
    assert done.stdout == f"PORT must be a number from 1 to 65535, not {port!r}.\n"


def test_a_machine_without_git_is_told_what_to_install(clone: Path, newcomer: dict[str, str], tmp_path: Path) -> None:
    done = demo(clone, newcomer | {"PATH": str(tmp_path)}, sys.executable, "scripts/demo.py")
    assert done.returncode == 1
    assert done.stdout == "This needs git, which is not on PATH (on Debian: apt-get install git).\n"


def test_a_trusted_template_is_copied_by_the_plain_command(
    clone: Path, newcomer: dict[str, str], tmp_path: Path
) -> None:
    copy = (str(TOOLS / "copier"), "copy", "--defaults", str(clone), str(tmp_path / "service"))
    refused = demo(clone, newcomer, *copy)
    assert refused.returncode != 0
    assert "unsafe feature: jinja_extensions" in refused.stdout
    settings = Path(newcomer["HOME"], ".config", "copier", "settings.yml")
    settings.parent.mkdir(parents=True)
    settings.write_text(f"trust:\n  - {clone.parent}/\n")
    done = demo(clone, {**newcomer, "XDG_CONFIG_HOME": ""}, *copy)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "service" / "requirements.lock").exists()


def test_make_alone_lists_the_commands(clone: Path, newcomer: dict[str, str]) -> None:
    listed = demo(clone, newcomer, "make").stdout
    assert all(f"make {target} " in listed for target in ("demo", "test", "lint", "lock", "bench"))
