"""The rendered Dockerfile, built and run: an unprivileged user, a read-only root, a clean exit."""

import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import image
from answers import FULL
from conftest import Render
from image import Image

PACKAGE = "ete_facturation"
CANARY = "a-secret-of-the-machine-that-builds"

pytestmark = pytest.mark.skipif(bool(image.why_not()), reason=image.why_not())


@pytest.fixture(scope="module")
def built(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    image.make_base(tmp_path_factory.mktemp("base"))
    project = tmp_path_factory.mktemp("image") / "project"
    shutil.copytree(render(FULL), project)
    for place in (".env", "tasks.sqlite3", "src/.env", f"src/{PACKAGE}/.env"):
        (project / place).write_text(f"MODEL__API_KEY={CANARY}\n")
    built = Image(project, "localhost/rendered:test")
    yield built
    built.remove()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(service: "subprocess.Popen[str]", port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and service.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    service.kill()
    pytest.fail(f"not ready:\n{service.communicate()[0]}")


def test_the_image_declares_user_port_and_health_check(built: Image) -> None:
    user, _, group = built.config["User"].partition(":")
    assert user.isdigit()
    assert int(user) >= 10_000
    assert group.isdigit()
    assert built.config["StopSignal"] == "SIGTERM"
    assert built.config["Healthcheck"]["Test"]
    assert "8000/tcp" in built.config["ExposedPorts"]
    labels = built.config["Labels"]
    assert labels["org.opencontainers.image.title"] == FULL["service_name"]
    assert labels["org.opencontainers.image.description"] == FULL["description"]
    assert labels["org.opencontainers.image.licenses"] == FULL["license"]


def test_it_serves_on_a_read_only_root_without_privileges_and_exits_cleanly(built: Image, port: int) -> None:
    settings = {
        "ENVIRONMENT": "development",
        "PORT": str(port),
        "DRAIN_SECONDS": "0",
        "QUEUE__DATABASE_URL": "sqlite:////tmp/queue.sqlite",
    }
    service = built.start(built.config["Cmd"], **settings)
    wait_until_ready(service, port)
    kind, *probe = built.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    assert built.run(probe, **settings) == (0, "")
    service.send_signal(signal.SIGTERM)
    output, _ = service.communicate(timeout=30)
    assert service.returncode == 0, output


def test_its_health_check_fails_when_nothing_answers(built: Image, port: int) -> None:
    code, _ = built.run(built.config["Healthcheck"]["Test"][1:], PORT=str(port))
    assert code == 1


def test_it_refuses_a_task_database_on_a_read_only_file_system(built: Image) -> None:
    code, output = built.run(built.config["Cmd"], ENVIRONMENT="development")
    assert code == 2, output
    assert "QUEUE__DATABASE_URL: the folder" in output
    assert "Traceback" not in output


def test_it_refuses_to_start_in_production_without_required_settings(built: Image) -> None:
    code, output = built.run(built.config["Cmd"])
    assert code == 2, output
    assert "MODEL__PRIMARY" in output
    assert "STATE_URL" in output
    assert "Traceback" not in output


def test_it_holds_the_service_and_no_build_tools(built: Image) -> None:
    assert (built.root / "app" / "bin" / FULL["service_name"]).exists()
    assert not [path for path in ("app/bin/uv", "app/bin/pip", "opt/uv", "build") if (built.root / path).exists()]
    ours = list((built.root / "app").glob(f"lib/python3*/site-packages/{PACKAGE}"))
    assert ours
    assert list(ours[0].rglob("*.pyc")), "byte code is not compiled"


def test_it_holds_no_secret_of_the_build_machine(built: Image) -> None:
    looked = [
        "grep",
        "--recursive",
        "--devices=skip",
        "--files-with-matches",
        "--fixed-strings",
        CANARY,
        str(built.root),
    ]
    found = subprocess.run(looked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    assert found.stdout == ""
    assert CANARY not in str(built.config)


def test_its_user_can_change_none_of_its_files(built: Image) -> None:
    writable = [
        path
        for path in (built.root / "app").rglob("*")
        if not path.is_symlink() and (path.stat().st_mode & 0o002 or path.stat().st_uid >= 10_000)
    ]
    assert writable == []


def test_another_build_differs_only_in_the_changed_files(built: Image, render: Render, tmp_path: Path) -> None:
    """For the same version: the time of the build and caches of earlier builds leave no trace."""
    shutil.copytree(render(FULL), tmp_path / "project")
    (tmp_path / "project" / "src" / PACKAGE / "added.py").write_text("ADDED = True\n")
    again = Image(tmp_path / "project", "localhost/rendered:again")
    try:
        compared = ["diff", "--recursive", "--brief", "--no-dereference", f"{built.root}/app", f"{again.root}/app"]
        lines = subprocess.run(compared, stdout=subprocess.PIPE, text=True, check=False).stdout.splitlines()
        found = [line for line in lines if not _is_of_the_same_source(line)]
        assert sorted(re.split(r"[ /]", line.removesuffix(" differ"))[-1].partition(".")[0] for line in found) == [
            "RECORD",
            "added",
            "added",
        ]
    finally:
        again.remove()


def _is_of_the_same_source(line: str) -> bool:
    """Whether a line is byte code with an unchanged digest of its source.

    The byte code itself may differ: CPython marks objects in it that had other references when it was written.
    """
    named = re.fullmatch(r"Files (.+\.pyc) and (.+\.pyc) differ", line)
    return named is not None and len({Path(name).read_bytes()[:16] for name in named.groups()}) == 1
