"""Deploys: the script as it is run, with the real boto3, against moto over HTTP."""

from __future__ import annotations

import signal
import socket
from typing import Any

import pytest

from support.lambda_scene import ADDRESS, ALARM, FUNCTION, Scene
from support.waiting import eventually


@pytest.mark.proves("ship.safely")
def test_a_good_revision_gets_the_traffic_in_steps(scene: Scene) -> None:
    code, told = scene.deploy("2", "--steps", "10,50")
    assert code == 0, told
    assert scene.front.shifts == [("1", {"2": 0.1}), ("1", {"2": 0.5}), ("2", {})]
    assert {version for version, _ in scene.front.calls} == {"2"}, "smoke calls ask the new revision itself"


@pytest.mark.proves("ship.safely")
def test_an_alarm_in_the_middle_of_a_shift_takes_it_back(scene: Scene) -> None:
    scene.front.on_shift = lambda shift: scene.ring() if shift[1] else None
    code, told = scene.deploy()
    assert code == 1
    assert f"{ALARM} went off" in told
    assert scene.live == ("1", {})
    assert scene.front.shifts == [("1", {"2": 0.1}), ("1", {})]


@pytest.mark.proves("ship.safely")
def test_an_alarm_after_the_last_step_takes_it_back_as_well(scene: Scene) -> None:
    scene.front.on_shift = lambda shift: scene.ring() if shift == ("2", {}) else None
    code, _ = scene.deploy()
    assert (code, scene.live) == (1, ("1", {}))


@pytest.mark.proves("ship.safely")
@pytest.mark.parametrize("answer", ["it broke", {"status": 503}, {"batchItemFailures": [{"itemIdentifier": "1"}]}])
def test_a_revision_that_fails_its_smoke_call_gets_no_traffic(scene: Scene, answer: Any) -> None:
    scene.front.answers["2"] = answer
    code, told = scene.deploy()
    assert code == 1
    assert "smoke" in told
    assert scene.front.shifts == []


@pytest.mark.proves("ship.safely")
def test_a_smoke_call_that_fails_under_traffic_takes_the_shift_back(scene: Scene) -> None:
    scene.front.on_shift = lambda shift: scene.front.answers.update({"2": "it broke"})
    code, told = scene.deploy()
    assert code == 1
    assert "it broke" in told
    assert scene.live == ("1", {})


@pytest.mark.proves("ship.safely")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_deploy_that_is_cancelled_shifts_back(scene: Scene, number: signal.Signals) -> None:
    process = scene.start("deploy", ADDRESS, str(scene.zip("2")), "--seconds", "60")
    eventually(lambda: scene.live == ("1", {"2": 0.1}), within=30, what="the canary has traffic")
    process.send_signal(number)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 1, told
    assert scene.live == ("1", {})


@pytest.mark.proves("ship.safely")
def test_a_dry_run_tells_the_plan_and_changes_nothing(scene: Scene) -> None:
    code, told = scene.deploy("2", "--steps", "10,50", "--dry-run")
    assert code == 0
    assert "10 %" in told
    assert ALARM in told
    assert (scene.versions, scene.front.shifts, scene.front.calls) == (["1"], [], [])


@pytest.mark.proves("ship.safely")
def test_nothing_is_deployed_while_an_alarm_rings_unless_it_is_named(scene: Scene) -> None:
    scene.ring()
    code, told = scene.deploy()
    assert (code, scene.versions) == (1, ["1"])
    assert "ringing already" in told
    scene.alarm(f"{FUNCTION}-throttles")
    assert scene.deploy("2", "--ignore-alarm", ALARM)[0] == 0


@pytest.mark.proves("ship.safely")
def test_nothing_is_deployed_where_no_alarm_watches(scene: Scene) -> None:
    scene.watch.delete_alarms(AlarmNames=[ALARM])
    assert scene.deploy()[0] == 2
    assert scene.versions == ["1"]


@pytest.mark.proves("ship.safely")
def test_of_two_deploys_at_once_one_wins(scene: Scene) -> None:
    both = [scene.start("deploy", ADDRESS, str(scene.zip(content)), "--seconds", "0") for content in ("2", "3")]
    # Whoever comes first waits for the other one's end, so that neither is through before the other begins.
    scene.front.on_shift = lambda shift: eventually(
        lambda: any(process.poll() is not None for process in both), within=50, what="one of them ends"
    )
    told = [process.communicate(timeout=60)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], told
    version, shares = scene.live
    assert version != "1"
    assert shares == {}


@pytest.mark.proves("ship.safely")
def test_a_shift_that_is_under_way_is_left_alone(scene: Scene) -> None:
    first = scene.start("deploy", ADDRESS, str(scene.zip("2")), "--seconds", "60")
    eventually(lambda: scene.live == ("1", {"2": 0.1}), within=30, what="the canary has traffic")
    code, told = scene.deploy("3")
    assert code == 1
    assert "a shift is under way" in told
    assert (scene.live, scene.versions) == (("1", {"2": 0.1}), ["1", "2"])
    first.terminate()
    first.communicate(timeout=20)


@pytest.mark.proves("ship.safely")
def test_what_somebody_else_shifts_meanwhile_is_left_alone(scene: Scene) -> None:
    def meddle(shift: Any) -> None:
        scene.front.on_shift = lambda shift: None
        scene.lambdas.update_alias(FunctionName=FUNCTION, Name="live", FunctionVersion="1", Description="x")
        scene.front.revisions[f"{FUNCTION}aliases/live"] = "another"

    scene.front.on_shift = meddle
    code, told = scene.deploy()
    assert code == 1
    assert "somebody else" in told
    assert len(scene.front.shifts) == 1


@pytest.mark.proves("ship.safely")
def test_code_that_somebody_else_sends_meanwhile_is_not_overwritten(scene: Scene) -> None:
    scene.front.on_read = lambda about: scene.front.revisions.update({about: "another"})
    code, told = scene.deploy()
    assert code == 1
    assert "somebody else" in told
    assert scene.versions == ["1"]


@pytest.mark.proves("ship.safely")
@pytest.mark.parametrize(
    "arguments",
    [
        ("mars:agent", "x.zip"),
        ("lambda:nobody", "x.zip"),
        (ADDRESS, "not-there.zip"),
        (ADDRESS, "x.zip", "--steps", "50,10"),
        (ADDRESS, "x.zip", "--steps", "many"),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_what_makes_no_sense_is_refused(scene: Scene, arguments: tuple[str, ...]) -> None:
    assert scene.run("deploy", *arguments)[0] == 2
    assert scene.versions == ["1"]


@pytest.mark.proves("ship.safely")
def test_the_same_code_again_is_refused(scene: Scene) -> None:
    code, told = scene.run("deploy", ADDRESS, str(scene.zip("1")), "--seconds", "0")
    assert (code, scene.versions, scene.front.shifts) == (2, ["1"], [])
    assert "has the traffic already" in told


@pytest.mark.proves("ship.safely")
def test_aws_that_is_away_is_a_sentence(scene: Scene) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        scene.environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{unused.getsockname()[1]}"
    for script in ("deploy", "rollback"):
        code, told = scene.run(script, ADDRESS, *(["x.zip"] if script == "deploy" else []))
        assert code == 1
        assert "AWS was not reached" in told
