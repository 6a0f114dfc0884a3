"""Rollbacks: the script as it is run, with the real boto3, against moto over HTTP."""

from __future__ import annotations

import pytest

from support.lambda_scene import ADDRESS, Scene
from support.waiting import eventually


@pytest.mark.proves("ship.rollback")
def test_a_rollback_gives_the_revision_before_all_the_traffic(scene: Scene) -> None:
    assert scene.deploy("2")[0] == 0
    code, told = scene.rollback()
    assert (code, scene.live) == (0, ("1", {})), told


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
    assert [scene.rollback()[0], scene.live[0], scene.rollback()[0], scene.live[0]] == [0, "2", 0, "1"]
    code, told = scene.rollback()
    assert (code, scene.live[0]) == (2, "1")
    assert "nothing was published before 1" in told


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
def test_a_named_revision_is_called_before_it_gets_traffic(scene: Scene) -> None:
    for content in ("2", "3"):
        assert scene.deploy(content)[0] == 0
    scene.front.answers["1"] = "it broke"
    assert scene.rollback("--to", "1")[0] == 1
    assert scene.live == ("3", {})
    assert scene.rollback("--to", "1", "--no-smoke")[0] == 0
    assert scene.live == ("1", {})


@pytest.mark.proves("ship.rollback")
def test_revisions_are_listed_with_their_share(scene: Scene) -> None:
    assert scene.deploy("2")[0] == 0
    process = scene.start("rollback", ADDRESS, "--list")
    listed, _ = process.communicate(timeout=60)
    assert [line.split()[:2] for line in listed.splitlines()][1] == ["2", "100"]
    assert len(listed.splitlines()) == 2
