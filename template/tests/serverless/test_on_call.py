"""A deploy on call: real signals, terminals and processes, and people who do something else meanwhile."""

from __future__ import annotations

import os
import pty
import resource
import signal
import subprocess
import sys
import zipfile
from typing import Any

import pytest

from support.aws import REGION
from support.lambda_scene import ADDRESS, ALARM, FUNCTION, SCRIPTS, Scene
from support.waiting import eventually

CANARY = ("1", {"2": 0.1})


def without_room() -> None:
    """A disk that takes no byte more."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def canary(scene: Scene, **how: Any) -> subprocess.Popen[str]:
    process = scene.start("deploy", ADDRESS, str(scene.zip("2")), "--seconds", "60", **how)
    eventually(lambda: scene.live == CANARY, within=30, what="the canary has traffic")
    return process


@pytest.mark.proves("ship.safely")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_takes_the_traffic_back(scene: Scene, number: signal.Signals) -> None:
    process = canary(scene)
    process.send_signal(number)
    _, told = process.communicate(timeout=20)
    assert (process.returncode, scene.live) == (1, ("1", {})), told
    assert told.splitlines()[-1] == f"deploy: {number.name}"


@pytest.mark.proves("ship.safely")
def test_a_sigint_that_the_parent_ignores_takes_the_traffic_back(scene: Scene) -> None:
    process = canary(scene, before=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert (process.returncode, scene.live) == (1, ("1", {})), told


@pytest.mark.proves("ship.safely")
def test_under_nohup_a_lost_terminal_ends_nothing(scene: Scene) -> None:
    process = canary(scene, before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    assert scene.live == CANARY
    process.terminate()
    process.communicate(timeout=20)


@pytest.mark.proves("ship.safely")
def test_more_signals_do_not_hurt_the_way_back(scene: Scene) -> None:
    process = canary(scene)

    def impatient(shift: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(number)

    scene.front.on_shift = impatient
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert (process.returncode, scene.live) == (1, ("1", {})), told
    assert "the end is under way" in told
    assert told.splitlines()[-1] == "deploy: SIGINT"


@pytest.mark.proves("ship.safely")
def test_a_terminal_that_is_lost_takes_the_traffic_back_and_not_the_exit_code(scene: Scene) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, str(SCRIPTS / "deploy.py"), ADDRESS, str(scene.zip("2")), "--seconds", "60"]
    process = subprocess.Popen(
        command, env=scene.environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    eventually(lambda: scene.live == CANARY, within=30, what="the canary has traffic")
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    assert process.wait(20) == 1
    assert scene.live == ("1", {})
    assert [record["action"] for record in scene.audit][-2:] == ["shift_back", "deploy"]


@pytest.mark.proves("ship.safely")
def test_a_ctrl_c_where_the_reason_is_asked_for_changes_nothing(scene: Scene) -> None:
    assert scene.deploy()[0] == 0
    ours, theirs = pty.openpty()
    command = [sys.executable, str(SCRIPTS / "rollback.py"), ADDRESS, "--no-smoke"]
    asking = scene.environment | {"ENVIRONMENT": "production"}
    process = subprocess.Popen(command, env=asking, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    said = b""
    while b"Why" not in said:
        said += os.read(ours, 1000)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 1
    os.close(ours)
    assert scene.live == ("2", {})


@pytest.mark.proves("ship.safely")
@pytest.mark.parametrize("moment", ["read", "smoke"])
def test_a_signal_before_the_first_share_gives_no_traffic(scene: Scene, moment: str) -> None:
    processes: list[subprocess.Popen[str]] = []

    def interrupt(*_: object) -> None:
        eventually(lambda: processes, within=30, what="the deploy is known")
        processes[0].send_signal(signal.SIGINT)

    if moment == "read":
        scene.front.on_read = interrupt
    else:
        scene.front.on_call = interrupt
    processes.append(scene.start("deploy", ADDRESS, str(scene.zip("2")), "--seconds", "60"))
    _, told = processes[0].communicate(timeout=60)
    assert (processes[0].returncode, scene.live, scene.front.shifts) == (1, ("1", {}), []), told
    assert told.splitlines()[-1] == "deploy: SIGINT"


@pytest.mark.proves("ship.safely")
@pytest.mark.parametrize("error", ["AccessDeniedException", "ExpiredTokenException"])
def test_no_right_and_expired_credentials_are_a_sentence(scene: Scene, error: str) -> None:
    assert scene.deploy()[0] == 0
    scene.front.refuses = error
    code, told = scene.rollback("--no-smoke")
    assert (code, scene.live) == (1, ("2", {})), told
    assert f"AWS refused UpdateAlias ({error}" in told


@pytest.mark.proves("ship.rollback")
def test_a_full_disk_of_the_audit_file_keeps_no_traffic_from_going_back(scene: Scene) -> None:
    assert scene.deploy()[0] == 0
    process = scene.start("rollback", ADDRESS, before=without_room)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, scene.live) == (0, ("1", {})), told
    assert "the rollback is done, and its audit record is not in the file" in told
    process = scene.start("deploy", ADDRESS, str(scene.zip("3")), "--seconds", "0", before=without_room)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, scene.live) == (1, ("1", {})), told
    assert "Traceback" not in told


@pytest.mark.proves("ship.safely")
def test_an_audit_file_that_breaks_after_the_last_step_makes_no_failure_of_a_deploy(scene: Scene) -> None:
    file = scene.folder / "audit.jsonl"

    def replace(version: str) -> None:
        if scene.front.shifts[-1:] == [("2", {})] and file.is_file():
            file.unlink()
            file.mkdir()

    scene.front.on_call = replace
    code, told = scene.deploy()
    assert (code, scene.live) == (0, ("2", {})), told
    assert "the deploy is done, and its audit record is not in the file" in told


@pytest.mark.proves("ship.safely")
def test_traffic_that_cannot_be_taken_back_is_the_last_line_and_an_exit_code_of_its_own(scene: Scene) -> None:
    process = canary(scene)
    scene.front.behind = "http://127.0.0.1:9"  # AWS is away
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 3, told
    assert "the traffic is NOT back at 1" in told.splitlines()[-1]
    assert f"scripts/rollback.py {ADDRESS} --to 1" in told.splitlines()[-1]


@pytest.mark.proves("ship.safely")
def test_an_alarm_that_vanishes_while_it_is_watched_stops_the_rollout(scene: Scene) -> None:
    scene.alarm(f"{FUNCTION}-throttles")
    scene.front.on_shift = lambda shift: scene.watch.delete_alarms(AlarmNames=[ALARM])
    code, told = scene.deploy()
    assert (code, scene.live) == (1, ("1", {}))
    assert f"{ALARM} is gone" in told


@pytest.mark.proves("ship.safely")
def test_an_alarm_of_another_function_with_the_same_beginning_does_not_count(scene: Scene) -> None:
    scene.alarm(f"{FUNCTION}-v2-errors", f"{FUNCTION}-v2")
    scene.ring(name=f"{FUNCTION}-v2-errors")
    assert scene.deploy()[0] == 0
    scene.watch.delete_alarms(AlarmNames=[ALARM])
    assert scene.deploy("3")[0] == 2, "nothing watches this one"


@pytest.mark.proves("ship.safely")
def test_a_rollback_during_the_last_watch_is_a_conflict_and_no_success(scene: Scene) -> None:
    def meanwhile(shift: Any) -> None:
        if shift == ("2", {}):
            scene.front.on_shift = lambda shift: None
            assert scene.rollback("--no-smoke")[0] == 0

    scene.front.on_shift = meanwhile
    process = scene.start("deploy", ADDRESS, str(scene.zip("2")), "--seconds", "0.5")
    _, told = process.communicate(timeout=60)
    assert (process.returncode, scene.live) == (1, ("1", {})), told
    assert "somebody else has moved it" in told
    assert scene.audit[-1]["outcome"] == "conflict"


@pytest.mark.proves("ship.safely")
@pytest.mark.parametrize("artifact", ["not-there.zip", "s3://nowhere/x.zip", "s3://artifacts/not-there.zip", "image"])
def test_an_artifact_that_is_not_there_is_found_by_a_dry_run(scene: Scene, artifact: str) -> None:
    where = {"LocationConstraint": REGION}
    scene.aws.client("s3").create_bucket(Bucket="artifacts", CreateBucketConfiguration=where)
    scene.aws.client("ecr").create_repository(repositoryName="agent")
    image = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/agent@sha256:{'0' * 64}"
    code, told = scene.run("deploy", ADDRESS, image if artifact == "image" else artifact, "--dry-run")
    assert (code, scene.versions) == (2, ["1"]), told
    assert "is not there" in told


@pytest.mark.proves("ship.safely")
def test_a_zip_of_files_that_no_commit_has_is_refused(scene: Scene) -> None:
    dirty = scene.zip("2")
    with zipfile.ZipFile(dirty, "a") as archive:
        archive.comment = b"0123abcd-dirty"  # as scripts/package.py notes it
    code, told = scene.run("deploy", ADDRESS, str(dirty))
    assert (code, scene.versions) == (2, ["1"]), told
    assert "0123abcd-dirty" in told


@pytest.mark.proves("ship.safely")
def test_a_worker_gets_the_smoke_call_of_a_worker(scene: Scene) -> None:
    scene.lambdas.update_function_configuration(FunctionName=FUNCTION, Handler="service.serverless.worker.handler")
    scene.front.answers["2"] = {"batchItemFailures": []}
    assert scene.deploy()[0] == 0
    assert all("Records" in asked for _, asked in scene.front.calls)
