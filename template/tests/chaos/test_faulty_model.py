"""A model API on an ordinary bad day."""

from __future__ import annotations

import pytest

from conftest import KEY, StartService
from support.figures import Row
from support.load import Load, milliseconds, share, statuses
from support.processes import Upstream
from support.scenario import fallback_of

pytestmark = pytest.mark.chaos

RUNS = 2_000
DEADLINE = 10.0
BAD_DAY = [
    {"fault": "status", "status": 429, "share": 0.03},
    {"fault": "status", "status": 429, "share": 0.02, "retry_after": "1"},
    {"fault": "status", "status": 500, "share": 0.025},
    {"fault": "status", "status": 503, "share": 0.025},
    {"fault": "hang", "share": 0.01},
    {"fault": "truncated_json", "share": 0.004},
    {"fault": "wrong_json", "share": 0.003},
    {"fault": "not_json", "share": 0.003},
]


@pytest.mark.proves("reliability.retries")
@pytest.mark.proves("reliability.fallback")
@pytest.mark.parametrize(
    ("fallback", "goal"), [(False, 0.995), (True, 0.999)], ids=["without_fallback", "with_fallback"]
)
async def test_ten_percent_errors_one_percent_hangs_one_percent_invalid_answers(
    fallback: bool, goal: float, upstream: Upstream, start_service: StartService, row: Row
) -> None:
    """99.5% of 2,000 runs succeed, and 99.9% with an equally faulty fallback model; at most 1.2 attempts per run; no
    run exceeds its deadline by more than 250 ms."""
    service = start_service(
        RUN__DEADLINE_SECONDS=DEADLINE,
        GUARD__TIMEOUT_SECONDS=2,
        **(fallback_of(upstream) if fallback else {}),
    )
    upstream.plays(*BAD_DAY, latency=0.02, seed=3)
    async with Load(service.url, [KEY]) as load:
        answers = await load.callers(16, runs=RUNS)
    attempts = upstream.attempts(None) / RUNS
    longest = max(answer.seconds for answer in answers)
    row.shows(
        succeeded=f"{share(answers):.2%}",
        statuses=statuses(answers),
        attempts_a_run=attempts,
        degraded=sum(answer.degraded for answer in answers),
        median=f"{milliseconds(answers):.0f} ms",
        longest=f"{longest:.2f} s",
    )
    assert share(answers) >= goal
    assert attempts <= 1.2
    assert longest <= DEADLINE + 0.25
