"""The machine of Redis is lost, and the runbook's commands bring its data back on an empty one."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from conftest import NO_REDIS, StartService, client_of
from support.figures import Row
from support.processes import Redis, Upstream, command
from support.restore import follow, kept_redis

pytestmark = pytest.mark.chaos

A_RUN = 120  # tokens that the upstream bills
BUDGET = 5 * A_RUN


@pytest.mark.proves("ship.restore")
async def test_the_state_is_restored_onto_an_empty_machine(
    upstream: Upstream, start_service: StartService, tmp_path: Path, row: Row
) -> None:
    """Idempotency keys, conversations and budgets are there as of the backup; what came after it is lost."""
    if not Redis.available():
        pytest.skip(NO_REDIS)
    limits = {"BUDGET__TOKENS_PER_DAY": BUDGET, "BUDGET__TOKENS_PER_RUN": A_RUN}
    with ExitStack() as stack:
        old = kept_redis(tmp_path / "old")
        stack.callback(old.kill)
        service = start_service(STATE_URL=old.url, **limits)
        async with client_of(service) as client:

            async def run(text: str, key: str, talk: str | None = None) -> str:
                body = {"input": text, "conversation_id": talk}
                answer = await client.post("/v1/runs", json=body, headers={"Idempotency-Key": key})
                assert answer.status_code == 200, answer.text
                return answer.text

            kept = await run("kept", "before")
            await run("first", "talk-1", "talk")
            follow("--rdb", tmp_path, STATE_URL=old.url)
            await run("lost", "after")
            await run("second", "talk-2", "talk")
        stopped = command("flags", "set", "kill_switch", "on", folder=tmp_path, STATE_URL=old.url)
        assert stopped.returncode == 0, stopped.stderr
        service.kill()
        old.kill()

        began, empty = time.monotonic(), tmp_path / "new"
        empty.mkdir()
        follow("dump.rdb", tmp_path, REDIS_FOLDER=str(empty))
        new = kept_redis(empty)
        stack.callback(new.kill)
        restored_in = time.monotonic() - began
        service = start_service(STATE_URL=new.url, **limits)
        upstream.forget()
        async with client_of(service) as client:
            assert await run("kept", "before") == kept  # and not 503: the kill switch came after the backup
            assert upstream.attempts() == 0, "the answer was not paid for again"
            await run("third", "talk-3", "talk")
            said = [message["content"] for message in upstream.stats()["requests"][-1]["body"]["messages"]]
            assert said[-3:] == ["first", "You said: first", "third"], "the turn after the backup is lost"
            await run("lost", "after")
            await run("last of the budget", "last")
            answer = await client.post("/v1/runs", json={"input": "more"})
        assert (answer.status_code, answer.json()["type"]) == (429, "urn:problem:budget-exceeded")
        assert upstream.attempts() == 3, "two of the five runs were booked before the backup"
        assert service.stop() == 0, service.output
    row.shows(restored_in=f"{restored_in:.1f} s")
