"""A rollback on one machine, when more is broken than the service: real processes behind a real HAProxy."""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import KEY, settings_for
from support.blue_green import PROJECT, Stand
from support.engine import alive
from support.processes import Upstream, call
from support.runbook import line
from support.waiting import eventually

pytestmark = [
    pytest.mark.proves("ship.rollback"),
    pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not on PATH (Debian: apt-get install haproxy)"),
]


@pytest.fixture
def stand(tmp_path: Path, upstream: Upstream) -> Iterator[Stand]:
    """Two revisions have had the traffic: 1 before, 2 now."""
    stand = Stand(tmp_path, KEY)
    stand.environment["ENGINE_WORKERS"] = "yes"
    for name in ("v1", "v2"):
        code, told = stand.run("deploy", stand.image(name, **settings_for(upstream)), "--seconds", "0")
        assert code == 0, told
    yield stand
    stand.close()


def answers(stand: Stand) -> bool:
    return call("GET", f"{stand.url}/livez")[0] == 200


def weights(stand: Stand) -> dict[str, str]:
    """What the proxy has kept: of each colour, whether callers reach it."""
    lines = [line.split() for line in (stand.folder / "run" / "servers.state").read_text().splitlines()]
    return {line[3]: line[7] for line in lines if line[1:2] == ["service"]}


def without_room() -> None:
    """A disk that takes no byte more."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def test_the_rollback_of_the_runbook_runs_as_it_is_printed_from_any_folder(stand: Stand, tmp_path: Path) -> None:
    uv, run, script, *words = shlex.split(line("Roll back", "uv run scripts/rollback.py compose:"))
    assert (uv, run) == ("uv", "run")
    project = tmp_path / "project"
    shutil.copytree(PROJECT / "scripts", project / "scripts")
    (project / "deploy").mkdir()
    (project / "deploy" / "compose").symlink_to(stand.folder)
    command = [sys.executable, str(project / script), *words]
    done = subprocess.run(command, cwd="/", env=stand.environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, stand.state["main"], answers(stand)) == (0, "1", True), done.stderr
    assert stand.audit[-1]["place"] == f"{stand.folder} on {socket.gethostname()}"


@pytest.mark.proves("ship.config")
@pytest.mark.proves("ship.safely")
def test_changed_settings_are_deployed_by_the_image_that_runs_and_go_back_with_it(stand: Stand) -> None:
    runs = next(each["digest"] for each in stand.state["revisions"] if each["name"] == "2")
    code, told = stand.run("deploy", runs, "--seconds", "0")
    assert (code, "revision 2, which has the traffic already" in told) == (2, True), told
    (stand.folder / "service.env").write_text("MODEL__FALLBACK=openai:another\n")
    code, told = stand.run("deploy", runs, "--seconds", "0")
    assert (code, stand.state["main"], answers(stand)) == (0, "3", True), told
    code, told = stand.run("rollback")
    assert (code, stand.state["main"], answers(stand)) == (0, "2", True), told


def test_a_revision_that_has_ended_meanwhile_is_started_before_it_gets_the_traffic(stand: Stand) -> None:
    old = next(colour for colour, name in stand.state["colours"].items() if name == "1")
    pid = json.loads((stand.engine / f"{old}.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid), what="the old revision has ended")
    code, told = stand.run("rollback", "--no-smoke")
    assert (code, stand.state["main"], answers(stand)) == (0, "1", True), told


def test_the_worker_goes_back_with_the_traffic(stand: Stand) -> None:
    colours = {name: colour for colour, name in stand.state["colours"].items()}
    assert stand.running == {*colours.values(), f"worker-{colours['2']}"}
    code, told = stand.run("rollback")
    assert (code, stand.running) == (0, {*colours.values(), f"worker-{colours['1']}"}), told


def test_a_rollback_ends_what_a_killed_deploy_has_started(stand: Stand, upstream: Upstream) -> None:
    before = {each for each in stand.running if each.startswith("worker")}
    upstream.plays({"fault": "hang"})  # the smoke call gets no answer
    deploy = stand.start("deploy", stand.image("v3", **settings_for(upstream)))
    eventually(lambda: {"worker-blue", "worker-green"} <= stand.running, within=240, what="its worker works")
    deploy.kill()
    deploy.communicate()
    upstream.plays()
    code, told = stand.run("rollback", "--list")
    assert (code, "2 has 100 %, 3 has 0 %" in told) == (0, True), told
    code, told = stand.run("rollback")
    assert (code, stand.state["main"], answers(stand)) == (0, "2", True), told
    assert {each for each in stand.running if each.startswith("worker")} == before


def test_a_worker_that_a_killed_rollback_has_left_is_found_and_stopped(stand: Stand) -> None:
    old = next(colour for colour, name in stand.state["colours"].items() if name == "1")
    left = stand.folder / "run" / "scraped" / f"worker-{old}.json"
    left.write_text("[]")
    code, told = stand.run("rollback", "--list")
    assert (code, "warning: the worker of 1 runs" in told) == (0, True), told
    code, told = stand.run("rollback", "--to", "2")
    assert (code, stand.state["main"], left.exists(), answers(stand)) == (0, "2", False, True), told


def test_a_proxy_that_has_lost_its_weights_gets_them_again(stand: Stand) -> None:
    stand.stop_proxy()
    (stand.folder / "run" / "servers.state").unlink()
    stand.start_proxy()
    eventually(lambda: not answers(stand), what="nobody has the traffic")
    code, told = stand.run("deploy", next(iter(stand.images)))
    assert code == 1
    assert "the record says 2 has all the traffic" in told
    code, told = stand.run("rollback", "--list")
    assert (code, "warning: the proxy's weights are" in told) == (0, True), told
    code, told = stand.run("rollback", "--to", "2")
    assert (code, stand.state["main"], answers(stand)) == (0, "2", True), told


def test_a_record_that_is_none_says_how_to_mend_it(stand: Stand) -> None:
    record = stand.folder / "run" / "rollout.json"
    for garbage in (b"", b"{", b"[]", b"\xff\xfe", b'{"main": "2"}', b'{"main": 2, "revisions": [1]}'):
        record.unlink()
        record.write_bytes(garbage)
        code, told = stand.run("rollback")
        assert (code, record.read_bytes(), answers(stand)) == (1, garbage, True), told
        assert "rollout.before.json is the one before: look at it, and copy it over" in told
    shutil.copy(record.with_name("rollout.before.json"), record)
    code, told = stand.run("rollback", "--to", "1")
    assert (code, stand.state["main"], answers(stand)) == (0, "1", True), told


def test_a_full_disk_keeps_no_traffic_from_going_back(stand: Stand) -> None:
    before = weights(stand)
    colours = {name: colour for colour, name in stand.state["colours"].items()}
    code, told = stand.run("rollback", before=without_room)
    assert (code, stand.state["main"]) == (1, "2"), told
    assert "1 has all the traffic, and the record does not say so" in told
    assert "repeat it with --to 1" in told
    assert weights(stand) == before, "the kept files are whole"
    assert f"worker-{colours['1']}" in stand.running
    assert "the record says 2 has all the traffic" in stand.run("rollback", "--list")[1]
    code, told = stand.run("rollback", "--to", "1")
    assert (code, stand.state["main"], answers(stand)) == (0, "1", True), told


def test_a_full_disk_begins_no_deploy(stand: Stand, upstream: Upstream) -> None:
    before = (stand.state, weights(stand))
    code, told = stand.run("deploy", stand.image("v3", **settings_for(upstream)), before=without_room)
    assert (code, (stand.state, weights(stand)), answers(stand)) == (1, before, True), told
    assert "File too large" in told


@pytest.mark.proves("ship.safely")
def test_a_smoke_call_that_fails_gives_no_traffic(stand: Stand, upstream: Upstream) -> None:
    upstream.plays({"fault": "status", "status": 500, "model": "v3"})
    own = {"MODEL__PRIMARY": "openai-chat:v3", "GUARD__ATTEMPTS": 1}
    code, told = stand.run("deploy", stand.image("v3", **settings_for(upstream, **own)))
    upstream.plays()
    assert (code, stand.state["main"], stand.state["canary"], answers(stand)) == (1, "2", "", True), told
    assert "the smoke call of 3 failed: status 503" in told
    assert {"blue", "green"} & stand.running == {c for c, name in stand.state["colours"].items() if name == "2"}


def test_of_two_rollbacks_at_the_same_moment_one_is_refused(stand: Stand, upstream: Upstream) -> None:
    assert stand.run("deploy", stand.image("v3", **settings_for(upstream)), "--seconds", "0")[0] == 0
    both = [stand.start("rollback", "--from", "3", "--no-smoke") for _ in range(2)]
    told = [process.communicate(timeout=240)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], told
    assert any("somebody else" in text for text in told), told
    assert (stand.state["main"], answers(stand)) == ("2", True)


@pytest.mark.proves("ship.safely")
def test_a_proxy_that_is_away_when_the_traffic_has_to_go_back_is_exit_code_3(stand: Stand, upstream: Upstream) -> None:
    deploy = stand.start("deploy", stand.image("v3", **settings_for(upstream)), "--seconds", "60")
    eventually(lambda: stand.state["canary"] == "3", within=240, what="the canary has traffic")
    stand.stop_proxy()
    deploy.send_signal(signal.SIGTERM)
    _, told = deploy.communicate(timeout=240)
    last = told.splitlines()[-1]
    assert (deploy.returncode, "the traffic is NOT back at 2" in last) == (3, True), told
    stand.start_proxy()
    words = shlex.split(last.partition("uv run scripts/rollback.py ")[2])
    assert words[0] == f"compose:{stand.folder}"
    code, told = stand.run("rollback", *words[1:])
    assert (code, stand.state["main"], stand.state["canary"], answers(stand)) == (0, "2", "", True), told


@pytest.mark.proves("ship.safely")
def test_a_canary_that_ends_is_taken_back(stand: Stand, upstream: Upstream) -> None:
    deploy = stand.start("deploy", stand.image("v3", **settings_for(upstream)), "--seconds", "60")
    eventually(lambda: stand.state["canary"] == "3", within=240, what="the canary has traffic")
    colour = next(colour for colour, name in stand.state["colours"].items() if name == "3")
    os.kill(json.loads((stand.engine / f"{colour}.json").read_text())["pid"], signal.SIGKILL)
    _, told = deploy.communicate(timeout=240)
    assert (deploy.returncode, stand.state["main"], stand.state["canary"], answers(stand)) == (1, "2", "", True), told
    assert "ready went off" in told
