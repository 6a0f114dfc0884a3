"""Rollbacks: the script as it is run, with the real boto3, against moto over HTTP."""

from __future__ import annotations

import shlex

import pytest

from support.aws import REGION
from support.lambda_scene import ADDRESS, FUNCTION, Scene
from support.runbook import line
from support.waiting import eventually


@pytest.mark.proves("ship.rollback")
def test_a_rollback_gives_the_revision_before_all_the_traffic(scene: Scene) -> None:
    assert scene.deploy("2")[0] == 0
    code, told = scene.rollback()
    assert (code, scene.live) == (0, ("1", {})), told


@pytest.mark.proves("ship.rollback")
def test_the_rollback_of_the_runbook_runs_as_it_is_printed(scene: Scene) -> None:
    uv, run, script, address, *words = shlex.split(line("Roll back", "uv run scripts/rollback.py lambda:", "-api "))
    assert (uv, run, script) == ("uv", "run", "scripts/rollback.py")
    assert address.endswith("-api")
    assert scene.deploy("2")[0] == 0
    code, told = scene.rollback(*words)
    assert (code, scene.live) == (0, ("1", {})), told
    assert scene.audit[-1]["place"] == f"account 123456789012, {REGION}"


@pytest.mark.proves("ship.rollback")
def test_the_revision_before_is_the_one_that_had_the_traffic_not_one_that_failed(scene: Scene) -> None:
    scene.front.answers["2"] = "it broke"
    assert scene.deploy("2")[0] == 1
    assert scene.deploy("3")[0] == 0
    assert scene.rollback()[0] == 0
    assert scene.live == ("1", {})


@pytest.mark.proves("ship.rollback")
def test_rolling_back_twice_goes_two_back(scene: Scene) -> None:
    for content in ("2", "3"):
        assert scene.deploy(content)[0] == 0
    assert [scene.rollback()[0], scene.live[0]] == [0, "2"]
    assert [scene.rollback("--from", "2")[0], scene.live[0]] == [0, "1"]
    code, told = scene.rollback("--from", "1")
    assert (code, scene.live[0]) == (2, "1")
    assert "it is not known what had the traffic before 1" in told


@pytest.mark.proves("ship.rollback")
def test_a_shift_that_was_left_half_way_is_ended(scene: Scene) -> None:
    process = scene.start("deploy", ADDRESS, str(scene.zip("2")), "--seconds", "60")
    eventually(lambda: scene.live == ("1", {"2": 0.1}), within=30, what="the canary has traffic")
    process.kill()
    process.communicate()
    assert scene.rollback()[0] == 0
    assert scene.live == ("1", {})


@pytest.mark.proves("ship.rollback")
def test_the_current_and_an_unknown_revision_are_refused(scene: Scene) -> None:
    for to, why in (("1", "has all the traffic already"), ("9", "no revision 9"), ("$LATEST", "no revision $LATEST")):
        code, told = scene.rollback("--to", to)
        assert code == 2
        assert why in told
    assert scene.front.shifts == []


@pytest.mark.proves("ship.rollback")
def test_a_smoke_call_that_fails_is_told_and_holds_up_no_rollback(scene: Scene) -> None:
    assert scene.deploy("2")[0] == 0
    scene.front.answers["1"] = "it broke"
    code, told = scene.rollback()
    assert (code, scene.live) == (0, ("1", {})), told
    assert "it broke" in told


@pytest.mark.proves("ship.rollback")
def test_a_revision_that_was_a_canary_and_was_taken_back_is_not_rolled_back_to(scene: Scene) -> None:
    scene.front.on_shift = lambda shift: scene.ring() if shift[1] else None
    assert scene.deploy("2")[0] == 1
    scene.front.on_shift = lambda shift: None
    scene.ring("OK")
    assert scene.deploy("3")[0] == 0
    assert scene.rollback()[0] == 0
    assert scene.live == ("1", {})


@pytest.mark.proves("ship.rollback")
def test_what_codedeploy_shifted_is_followed_by_what_last_had_the_traffic_for_sure(scene: Scene) -> None:
    assert scene.deploy("2")[0] == 0
    for content in ("3", "4"):  # 3 fails under CodeDeploy, 4 gets all the traffic
        code = scene.zip(content).read_bytes()
        scene.lambdas.update_function_code(FunctionName=FUNCTION, ZipFile=code)
        scene.lambdas.publish_version(FunctionName=FUNCTION)
    scene.lambdas.update_alias(FunctionName=FUNCTION, Name="live", FunctionVersion="4")
    assert scene.rollback()[0] == 0
    assert scene.live == ("2", {})


@pytest.mark.proves("ship.rollback")
def test_of_two_rollbacks_for_one_incident_the_second_is_refused(scene: Scene) -> None:
    for content in ("2", "3"):
        assert scene.deploy(content)[0] == 0
    assert scene.rollback()[0] == 0
    code, told = scene.rollback()
    assert (code, scene.live) == (1, ("2", {}))
    assert "has just rolled back from 3 to 2" in told
    code, told = scene.rollback("--from", "3")
    assert (code, scene.live) == (1, ("2", {}))
    assert "somebody else was here first" in told


@pytest.mark.proves("ship.rollback")
def test_of_two_rollbacks_at_the_same_moment_one_wins(scene: Scene) -> None:
    for content in ("2", "3"):
        assert scene.deploy(content)[0] == 0
    both = [scene.start("rollback", ADDRESS, "--from", "3", "--no-smoke") for _ in range(2)]
    told = [process.communicate(timeout=60)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], told
    assert scene.live == ("2", {})


@pytest.mark.proves("ship.rollback")
def test_stores_that_the_old_code_cannot_read_keep_it_from_coming_back(scene: Scene) -> None:
    assert scene.deploy("2", "--schema", "1")[0] == 0
    assert scene.deploy("3")[0] == 0, "the schema is as before"
    assert scene.rollback()[0] == 0
    code, told = scene.rollback("--to", "1")
    assert (code, scene.live) == (2, ("2", {}))
    assert "deploy a revision that mends it, or restore a backup" in told
    assert scene.rollback("--to", "1", "--despite-schema")[0] == 0


@pytest.mark.proves("ship.rollback")
def test_in_production_a_rollback_says_why_and_the_record_keeps_it(scene: Scene) -> None:
    assert scene.deploy("2", "--reason", "faster")[0] == 0
    scene.environment["ENVIRONMENT"] = "production"
    code, told = scene.rollback()
    assert (code, scene.live) == (2, ("2", {}))
    assert "--reason" in told
    assert scene.rollback("--reason", "slower after all")[0] == 0
    process = scene.start("rollback", ADDRESS, "--list")
    listed, told = process.communicate(timeout=60)
    assert "faster" in listed
    assert "rollback  2 -> 1" in told
    assert "slower after all" in told
    assert scene.audit[-1]["reason"] == "slower after all"


@pytest.mark.proves("ship.rollback")
def test_revisions_are_listed_with_their_share(scene: Scene) -> None:
    assert scene.deploy("2")[0] == 0
    process = scene.start("rollback", ADDRESS, "--list")
    listed, _ = process.communicate(timeout=60)
    assert [line.split()[:2] for line in listed.splitlines()][1] == ["2", "100"]
    assert len(listed.splitlines()) == 2
