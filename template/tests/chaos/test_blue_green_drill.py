"""The drill: five versions of this service behind a real proxy, under load all the time."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import KEY, settings_for
from support.blue_green import Stand
from support.figures import Row
from support.load import Answer, Load, statuses
from support.processes import Upstream, call
from support.waiting import eventually

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not on PATH (Debian: apt-get install haproxy)"),
]

CANARY = 10.0  # percent
WATCH = ("--steps", f"{CANARY:g}", "--seconds", "3")


@pytest.fixture
def stand(tmp_path: Path, upstream: Upstream) -> Iterator[Stand]:
    stand = Stand(tmp_path, KEY)
    yield stand
    upstream.plays()  # so that no slow answer keeps a service from stopping
    stand.close()


def version(stand: Stand, upstream: Upstream, name: str, **settings: Any) -> str:
    own = {"MODEL__PRIMARY": f"openai-chat:{name}", "GUARD__ATTEMPTS": 1, "GUARD__BREAKER_MINIMUM_CALLS": 1_000_000}
    return stand.image(name, **settings_for(upstream, **own, **settings))


@pytest.mark.proves("ship.safely")
@pytest.mark.proves("ship.rollback")
async def test_five_versions_under_load(stand: Stand, upstream: Upstream, row: Row) -> None:
    """v1 and v2 lose no request; v3 (errors) hurts at most the canary's share and goes by itself; of v4 (never ready)
    no caller sees anything; v5 (slow) is found by its latency; back to v1 loses no request."""
    upstream.plays(
        # Their smoke call passes: only what callers ask meets the fault.
        {"fault": "status", "status": 500, "model": "v3", "asked": "question"},
        {"fault": "latency", "seconds": 4, "model": "v5", "asked": "question"},
        latency=0.05,
    )
    images = {name: version(stand, upstream, name) for name in ("v1", "v2", "v3", "v5")}
    images["v4"] = version(stand, upstream, "v4", STATE_URL="redis://127.0.0.1:9/0")
    code, told = await asyncio.to_thread(stand.run, "deploy", images["v1"], "--seconds", "0")
    assert code == 0, told

    async with Load(stand.url, [KEY], stream_every=10) as load:

        async def during(script: str, *arguments: str) -> tuple[int, str, list[Answer]]:
            first = len(load.answers)
            code, told = await asyncio.to_thread(stand.run, script, *arguments)
            await asyncio.sleep(0.3)
            return code, told, load.answers[first:]

        async with load.going_on(callers=16, per_second=30):
            code, told, v2 = await during("deploy", images["v2"], *WATCH, "--reason", "drill")
            assert (code, statuses(v2)) == (0, {200: len(v2)}), told

            code, told, v3 = await during("deploy", images["v3"], *WATCH)
            assert code == 1
            assert "errors went off" in told
            failed = len(v3) - statuses(v3)[200]
            assert 0 < failed <= len(v3) * CANARY / 100

            code, told, v4 = await during("deploy", images["v4"], *WATCH, "--ready-seconds", "6")
            assert (code, statuses(v4)) == (1, {200: len(v4)}), told
            assert "was not ready within 6 s" in told

            code, told, v5 = await during("deploy", images["v5"], "--steps", "10", "--seconds", "8", "--latency", "3")
            assert (code, statuses(v5)) == (1, {200: len(v5)}), told
            assert "latency went off" in told
            slow = sum(b"openai-chat:v5" in answer.body for answer in v5)
            assert 0 < slow <= len(v5) * CANARY / 100

            code, told, back = await during("rollback", "--reason", "drill: v2 is unwanted")
            assert (code, statuses(back)) == (0, {200: len(back)}), told
    assert stand.state["main"] == "1"
    assert [move["action"] for move in stand.state["moves"]][:2] == ["rollback", "taken back"]
    last = stand.audit[-1]
    assert (last["action"], last["outcome"], last["reason"]) == ("rollback", "ok", "drill: v2 is unwanted")
    row.shows(v2=statuses(v2), v3=statuses(v3), v4=statuses(v4), v5_slow=f"{slow} of {len(v5)}", back=statuses(back))


@pytest.mark.proves("ship.safely")
async def test_a_proxy_that_restarts_keeps_the_shares(stand: Stand, upstream: Upstream) -> None:
    assert stand.run("deploy", version(stand, upstream, "v1"), "--seconds", "0")[0] == 0
    stand.stop_proxy()
    stand.start_proxy()
    async with Load(stand.url, [KEY]) as load:
        eventually(lambda: call("GET", f"{stand.url}/livez")[0] == 200, what="the proxy sees the colour")
        assert statuses(await load.callers(2, runs=6)) == {200: 6}


@pytest.mark.proves("ship.rollback")
def test_a_rollback_during_a_canary_wins_and_the_deploy_says_so(stand: Stand, upstream: Upstream) -> None:
    images = [version(stand, upstream, name) for name in ("v1", "v2", "v3")]
    assert stand.run("deploy", images[0], "--seconds", "0")[0] == 0
    deploy = stand.start("deploy", images[1], "--seconds", "2", "--steps", "10")
    eventually(lambda: stand.state["canary"] == "2", within=60, what="the canary has traffic")
    code, told = stand.run("deploy", images[2])
    assert (code, stand.state["canary"]) == (1, "2"), told
    assert "a shift is under way" in told
    assert stand.run("rollback")[0] == 0
    _, told = deploy.communicate(timeout=60)
    assert deploy.returncode == 1, told
    assert "somebody else" in told
    assert (stand.state["main"], stand.state["canary"]) == ("1", "")


@pytest.mark.proves("ship.safely")
def test_a_signal_while_a_revision_starts_stops_what_was_started(stand: Stand, upstream: Upstream) -> None:
    assert stand.run("deploy", version(stand, upstream, "v1"), "--seconds", "0")[0] == 0
    never = version(stand, upstream, "v2", STATE_URL="redis://127.0.0.1:9/0")
    deploy = stand.start("deploy", never)
    eventually((stand.engine / "green.json").exists, within=60, what="green is started")
    deploy.send_signal(signal.SIGHUP)
    _, told = deploy.communicate(timeout=60)
    assert (deploy.returncode, told.splitlines()[-1]) == (1, "deploy: SIGHUP")
    assert not (stand.engine / "green.json").exists(), "it was stopped"
    assert stand.state["main"] == "1"


@pytest.mark.proves("ship.safely")
@pytest.mark.parametrize("image", ["registry.example.com/x:latest", f"registry.example.com/x@sha256:{'0' * 64}"])
def test_an_image_without_a_digest_or_that_is_not_there_is_refused(
    stand: Stand, upstream: Upstream, image: str
) -> None:
    version(stand, upstream, "v1")
    code, told = stand.run("deploy", image, "--dry-run")
    assert code == 2, told


@pytest.mark.proves("ship.safely")
def test_a_proxy_that_is_down_and_an_engine_that_is_missing_are_sentences(stand: Stand, upstream: Upstream) -> None:
    image = version(stand, upstream, "v1")
    (stand.engine / "docker").unlink()
    stand.environment["PATH"] = str(stand.engine)
    code, told = stand.run("deploy", image)
    assert (code, told.splitlines()[-1]) == (2, "deploy: docker is not installed, or not on PATH")
    stand.stop_proxy()
    code, told = stand.run("rollback", "--list")
    assert code == 1
    assert "the proxy does not answer" in told
