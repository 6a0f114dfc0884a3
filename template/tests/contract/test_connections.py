"""What a connection may do, byte by byte: heads, framing, requests sent ahead; and how many of them there may be."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from contextlib import suppress
from pathlib import Path

import pytest

from conftest import KEY, StartService, client_of, settings_for
from support.processes import COMMAND, Service, Upstream, call
from support.waiting import eventually
from support.wire import answers, said, statuses

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
BOUND = 65_536


def head_of(size: int, start: bytes = LIVEZ) -> bytes:
    """A request without a body whose head has exactly so many bytes."""
    return start + b"X-Long: " + b"a" * (size - len(start) - 12) + b"\r\n\r\n"


def run_of(
    text: str, *, stream: bool = False, version: str = "1.1", head: str = "", host: str = "Host: x\r\n"
) -> bytes:
    body = json.dumps({"input": text, "stream": stream}).encode()
    lines = f"POST /v1/runs HTTP/{version}\r\n{host}Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
    return f"{lines}{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.proves("security.bounds")
async def test_requests_sent_ahead_are_answered_in_their_order(service: Service) -> None:
    requests = [LIVEZ + b"\r\n", run_of("first"), run_of("second"), b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"]
    received = await said(service, b"".join(requests), count=4)
    assert statuses(received) == [200, 200, 200, 404]
    _, first, second, _ = answers(received)
    assert b"first" in first
    assert b"second" in second


@pytest.mark.parametrize("cut", range(1, 5))
async def test_a_blank_line_may_come_in_two_pieces(service: Service, cut: int) -> None:
    request = LIVEZ + b"\r\n"
    assert statuses(await said(service, request[:-cut], request[-cut:] + request, count=2)) == [200, 200]


async def test_line_ends_before_a_request_mean_nothing(service: Service) -> None:
    request = b"\r\n\r\n" + LIVEZ + b"\r\n"
    assert statuses(await said(service, request, request, count=2)) == [200, 200]


async def test_a_body_in_chunks_ends_where_it_says(service: Service) -> None:
    body = json.dumps({"input": "a\r\n\r\nb"}).encode()
    chunks = b"".join(b"%x;why=not\r\n%s\r\n" % (len(part), part) for part in (body[:14], body[14:]))
    lines = f"POST /v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
    request = f"{lines}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\nX-Trailer: a\r\n\r\n"
    assert statuses(await said(service, request + LIVEZ + b"\r\n", count=2)) == [200, 200]


@pytest.mark.proves("security.bounds")
@pytest.mark.parametrize(("size", "status"), [(BOUND, 200), (BOUND + 1, 431)])
async def test_a_head_may_have_64_kib_and_no_byte_more_however_it_arrives(
    service: Service, size: int, status: int
) -> None:
    head, probe = head_of(size), LIVEZ + b"\r\n"
    assert statuses(await said(service, head)) == [status]
    assert statuses(await said(service, head[:100], head[100:60_000], head[60_000:])) == [status]
    assert statuses(await said(service, probe, head, count=2)) == [200, status]
    assert statuses(await said(service, probe + head, count=2)) == [200, status]
    assert statuses(await said(service, run_of("hello") + head, count=2)) == [200, status]


@pytest.mark.proves("security.bounds")
@pytest.mark.parametrize("endless", [b"0\r\nX-Trailer: ", b"0\r\n", b"5;"], ids=["trailer", "trailers", "extension"])
async def test_what_frames_a_body_has_a_bound_too(service: Service, endless: bytes) -> None:
    lines = f"POST /v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"X-Many: a\r\n" * 10_000 if endless == b"0\r\n" else b"a" * 100_000
    assert statuses(await said(service, lines.encode(), endless, piece, piece, count=2))[-1:] == [431]


async def test_a_head_may_have_128_fields(service: Service) -> None:
    for number, status in ((128, 200), (129, 431)):
        fields = b"".join(b"X-%d: a\r\n" % field for field in range(number - 1))
        assert statuses(await said(service, LIVEZ + fields + b"\r\n")) == [status]


@pytest.mark.parametrize("target", ["x:1", "/livez", "/v1/runs"])
async def test_no_tunnel_is_opened_and_the_connection_goes_on(service: Service, target: str) -> None:
    tunnel = f"CONNECT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n".encode()
    [first, *_] = statuses(await said(service, tunnel, LIVEZ + b"\r\n", count=2, patience=1))
    assert 400 <= first < 500


@pytest.mark.proves("security.bounds")
@pytest.mark.parametrize("piece", [b"X-Many: a\r\n" * 6_000, b"a" * 60_000], ids=["many", "long"])
async def test_a_head_that_does_not_end_is_cut_off(service: Service, piece: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(b"POST /v1/runs HTTP/1.1\r\nX-Long: ")
    sent = 0
    async with asyncio.timeout(20):
        with suppress(ConnectionError):
            while sent < 50_000_000:
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
    assert sent < 20_000_000  # what both ends hold in their buffers, and no more
    writer.close()


@pytest.mark.proves("security.bounds")
async def test_a_head_that_comes_too_slowly_is_cut_off_also_as_the_second_on_its_connection(
    start_service: StartService,
) -> None:
    service = start_service(LIMITS__BODY_TIMEOUT_SECONDS=0.5)
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(LIVEZ + b"\r\n")
    async with asyncio.timeout(5):
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        began, answer = time.monotonic(), b""
        writer.write(LIVEZ + b"X-Slow: ")
        while not answer:
            writer.write(b"a")  # a byte now and then, which is no silence
            with suppress(TimeoutError):
                answer = await asyncio.wait_for(reader.read(1000), 0.1)
    assert answer.startswith(b"HTTP/1.1 408")
    assert 0.4 < time.monotonic() - began < 3
    writer.close()


@pytest.mark.parametrize("hosts", [[], ["a", "b"], ["a", "a"], ["a b"], ["a/b"], ["user@a"]], ids=" and ".join)
@pytest.mark.parametrize("path", ["/livez", "/v1/runs"])
async def test_a_request_names_one_host(service: Service, upstream: Upstream, path: str, hosts: list[str]) -> None:
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    request = run_of("hello", host=lines).replace(b"/v1/runs", path.encode())
    [answer] = answers(await said(service, request))
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"urn:problem:malformed-request" in answer
    assert upstream.attempts() == 0


@pytest.mark.parametrize("host", ["a", "a:80", "[::1]:8000", "a-b.c_d", ""])
async def test_any_host_will_do(service: Service, host: str) -> None:
    assert statuses(await said(service, f"GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())) == [200]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_http_1_0_gets_no_chunks_its_answer_ends_with_its_connection(service: Service, stream: bool) -> None:
    for host in ("", "Host: x\r\n"):
        received = await said(service, run_of("hello", stream=stream, version="1.0", host=host), count=2)
        head, _, body = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b"transfer-encoding" not in head
        assert b"connection: close" in head
        if stream:
            assert body.startswith(b"event: ")
            assert body.endswith(b"\n\n")
        else:
            assert json.loads(body)["output"]


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
async def test_an_offered_upgrade_is_not_taken_and_the_request_is_answered(service: Service, upgrade: str) -> None:
    lines = len(service.lines)
    head = f"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
    request = run_of("hello", head=head)
    middle = request.index(b"grade: ")
    assert statuses(await said(service, request + LIVEZ + b"\r\n", count=2)) == [200, 200]
    assert statuses(await said(service, request[:middle], request[middle:])) == [200]
    assert not [line for line in service.lines[lines:] if "pgrade" in line], "nor is it worth a line"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz", "/metrics"])
async def test_head_gets_the_head_that_get_would(service: Service, path: str) -> None:
    async with client_of(service, None) as client:
        given, whole = await client.head(path), await client.get(path)
    assert (given.status_code, given.content) == (200, b"")
    assert given.headers["content-type"] == whole.headers["content-type"]
    request = f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert statuses(await said(service, request + request, count=2)) == [200, 200]


async def test_the_address_of_all_ipv6_interfaces_serves_ipv4_too(start_service: StartService) -> None:
    service = start_service(HOST="::")  # asks for readiness over IPv4
    assert statuses(await said(service, LIVEZ + b"\r\n", host="::1")) == [200]


@pytest.mark.proves("security.secrets")
def test_no_core_is_dumped(service: Service) -> None:
    limits = Path(f"/proc/{service.pid}/limits").read_text()
    [line] = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert line.split()[4:6] == ["0", "0"]


@pytest.mark.proves("security.bounds")
async def test_when_all_places_are_taken_the_longest_idle_connection_goes(tmp_path: Path, upstream: Upstream) -> None:
    few = ("sh", "-c", 'ulimit -n 128; exec "$0" "$@"', COMMAND)
    service = Service(tmp_path, program=few, **settings_for(upstream)).wait_ready()
    idle = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(150)]
    async with client_of(service) as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.post("/v1/runs", json={"input": "hello"})).status_code == 200, "calls have some left"
        assert await asyncio.wait_for(idle[0][0].read(1), 5) == b"", "the oldest is closed"
        idle[-1][1].write(LIVEZ + b"\r\n")
        assert (await asyncio.wait_for(idle[-1][0].read(100), 5)).startswith(b"HTTP/1.1 200"), "the youngest is not"
    assert len(service.logs("connections_full")) == 1, "a flood makes no flood of lines"
    for _, writer in idle:
        writer.transport.abort()
    assert service.stop() == 0


@pytest.mark.proves("security.bounds")
async def test_running_out_of_descriptors_is_logged_and_survived(start_service: StartService) -> None:
    service = start_service()
    soft, hard = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (5, hard))  # fewer than are open
    assert await said(service, LIVEZ + b"\r\n", patience=1) == b""
    assert service.logged("out_of_descriptors")["level"] == "warning"
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (soft, hard))
    eventually(lambda: call("GET", f"{service.url}/livez")[0] == 200, what="it serves again")
