"""Every fault of the upstream: the client's response, the number of attempts, and the duration."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conftest import KEY, settings_for
from support.figures import Row
from support.load import Load
from support.processes import Json, Service, Upstream
from support.scenario import NEVER_OPENS

pytestmark = pytest.mark.chaos

TIMEOUT = 2.0
DEADLINE = 8.0

PASSING: dict[str, Json] = {
    "429": {"fault": "status", "status": 429},
    "429 with Retry-After": {"fault": "status", "status": 429, "retry_after": "1"},
    "500": {"fault": "status", "status": 500},
    "503": {"fault": "status", "status": 503},
    "connection reset": {"fault": "reset"},
    "hang": {"fault": "hang"},
    "a byte a second": {"fault": "drip", "seconds": 1},
    "truncated JSON": {"fault": "truncated_json"},
    "wrong JSON": {"fault": "wrong_json"},
    "HTML": {"fault": "not_json"},
    "cut body": {"fault": "cut"},
}
SLOW = {"429 with Retry-After": 1.0, "hang": TIMEOUT, "a byte a second": TIMEOUT}  # unavoidable seconds


@pytest.fixture(scope="module")
def guarded(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = settings_for(
        shared_upstream,
        GUARD__TIMEOUT_SECONDS=TIMEOUT,
        GUARD__RETRY_BUDGET=1.0,
        RUN__DEADLINE_SECONDS=DEADLINE,
        **NEVER_OPENS,
    )
    service = Service(tmp_path_factory.mktemp("service"), **settings).wait_ready()
    yield service
    shared_upstream.plays()
    assert service.stop() == 0, service.output


@pytest.mark.proves("reliability.retries")
@pytest.mark.parametrize("fault", PASSING)
async def test_transient_fault(fault: str, guarded: Service, upstream: Upstream, row: Row) -> None:
    """A transient fault costs one more attempt, and the client gets its answer."""
    upstream.plays({**PASSING[fault], "times": 1})
    async with Load(guarded.url, [KEY]) as load:
        answer = await load.ask()
    row.shows(status=answer.status, took=f"{answer.seconds:.2f} s")
    assert answer.status == 200
    assert upstream.attempts() == 2
    least = SLOW.get(fault, 0.0)
    assert least <= answer.seconds < least + 2


@pytest.mark.proves("reliability.retries")
@pytest.mark.proves("reliability.timeouts")
@pytest.mark.parametrize(
    ("fault", "status", "attempts"),
    [
        ({"fault": "status", "status": 400}, 422, 1),
        ({"fault": "status", "status": 401}, 503, 1),
        ({"fault": "status", "status": 500}, 503, 3),
        ({"fault": "status", "status": 429, "retry_after": "3600"}, 503, 1),
        ({"fault": "wrong_json"}, 503, 3),
        ({"fault": "big"}, 503, 1),  # the next one would be as long, and is paid as well
        ({"fault": "hang"}, 504, 3),
    ],
    ids=["400", "401", "500", "429 with Retry-After of an hour", "wrong JSON", "10 MB", "hang"],
)
async def test_lasting_fault(
    fault: Json, status: int, attempts: int, guarded: Service, upstream: Upstream, row: Row
) -> None:
    """A lasting fault ends in an error, after `GUARD__ATTEMPTS`, or after one attempt if more cannot help."""
    upstream.plays(fault)
    async with Load(guarded.url, [KEY]) as load:
        answer = await load.ask()
    row.shows(status=answer.status, took=f"{answer.seconds:.2f} s")
    assert answer.status == status
    assert upstream.attempts() == attempts
    assert answer.seconds < DEADLINE + 0.25
    assert ("retry-after" in answer.headers) is (status == 503)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.proves("reliability.retries")
async def test_connection_refused(guarded: Service, upstream: Upstream, row: Row) -> None:
    """503 with Retry-After, at once."""
    upstream.plays(listening=False)
    async with Load(guarded.url, [KEY]) as load:
        answer = await load.ask()
    row.shows(status=answer.status, took=f"{answer.seconds:.2f} s")
    assert (answer.status, upstream.attempts()) == (503, 0)
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.seconds < 2


@pytest.mark.proves("reliability.retries")
async def test_cut_stream(guarded: Service, upstream: Upstream, row: Row) -> None:
    """The client has received a part: no second attempt, the stream ends with an `error` event."""
    upstream.plays({"fault": "cut"})
    async with Load(guarded.url, [KEY]) as load:
        answer = await load.ask("one two three four five six seven eight nine ten", stream=True)
    row.shows(status=answer.status, events=answer.body.count(b"event: "), took=f"{answer.seconds:.2f} s")
    assert upstream.attempts() == 1
    assert b"event: delta" in answer.body
    assert b"event: error" in answer.body
    assert b"event: done" not in answer.body
