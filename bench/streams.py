"""Streams: what the gateway adds to the time to the first token, and what a stream costs that has no news."""

import asyncio
import json
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from endpoints import KEY, MODEL, OURS, Endpoint, bare, chat, model_server, ours
from servers import cpu_seconds, memory_mib
from sizes import Size
from timing import installed, row

FIRST_TOKENS = 20  # a round
SETTLE_SECONDS, IDLE_SECONDS = 2, 10
# As many as are held, and no limit on one caller's.
ROOM = {"GUARD__MAX_CONCURRENT": "4096", "LIMITS__MAX_IN_FLIGHT": "4096"} | dict.fromkeys(
    ("GUARD__TIMEOUT_SECONDS", "RUN__DEADLINE_SECONDS"), "3600"
)


def measure(template: Path, folder: Path, size: Size) -> dict[str, Any]:
    project = installed(template, folder, "gateway")
    with ExitStack() as stack:
        upstream = stack.enter_context(model_server(folder, project))
        direct = Endpoint("upstream", "the model itself", [], body=chat(MODEL), port=port_of(upstream))
        direct.path = "/v1/chat/completions"
        compared = [direct, bare(project, upstream), ours(project, upstream, OURS, "ours")]
        for one in compared[1:]:
            one.path = "/v1/streams" if one.slug != OURS else one.path
            stack.enter_context(one.started(folder))
        first: dict[str, list[float]] = {one.slug: [] for one in compared}
        for number in range(size.rounds + 1):
            for one in compared:
                waited = [asyncio.run(first_token(one)) for _ in range(FIRST_TOKENS)]
                first[one.slug] += waited if number else []
    for one in compared:
        added = 1_000 * (median(first[one.slug]) - median(first["upstream"]))
        note = f"{added:.1f} ms more than the model itself" if one is not direct else ""
        row(f"{one.name}: first token", f"{1_000 * median(first[one.slug]):.1f} ms", note)
    idle = {}
    with ExitStack() as stack:
        upstream = stack.enter_context(model_server(folder, project))
        silent = [bare(project, upstream, model="idle"), ours(project, upstream, OURS, "ours", model="idle", **ROOM)]
        silent[0].path = "/v1/streams"
        for one in silent:
            pid = stack.enter_context(one.started(folder)).pid
            idle[one.slug] = asyncio.run(held(one, pid, size.streams))
            kib, share = idle[one.slug]["kib"], idle[one.slug]["core"]
            row(
                f"{one.name}: a stream without news",
                f"{kib:.0f} KiB",
                f"{100 * share:.3f} % of a core, of {size.streams}",
            )
    return {"first_token_s": first, "idle": idle}


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2].partition("/")[0])


async def opened(one: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which a stream was asked for."""
    body = json.dumps(json.loads(one.body.replace("%d", str(time.time_ns()))) | {"stream": True}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", one.port, limit=2**20)
    head = f"POST {one.path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {KEY}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    return reader, writer


async def first_token(one: Endpoint) -> float:
    """Seconds from the request to the first piece of the answer; the rest is read, so that streams do not overlap."""
    began = time.perf_counter()
    reader, writer = await opened(one)
    await told(reader, one)
    took = time.perf_counter() - began
    while not await ended(reader):
        pass
    writer.close()
    return took


async def told(reader: asyncio.StreamReader, one: Endpoint) -> None:
    """Reads up to the first piece of an answer.

    Raises:
        RuntimeError: the answer is an error.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise RuntimeError(f"{one.name}: {head.decode()}{(await reader.read(500)).decode()}")
    await reader.readuntil(b"data: ")


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the answer's end is read: a last chunk of length 0, or the connection's end."""
    data = await reader.read(65_536)
    return not data or data.endswith(b"0\r\n\r\n")


async def held(one: Endpoint, pid: int, number: int) -> dict[str, float]:
    """What each of so many open streams costs the server: memory in KiB, and its share of a core."""
    reader, writer = await opened(one)  # the first one makes what all others share
    await told(reader, one)
    before = memory_mib(pid)
    streams = [(reader, writer)]
    for _ in range(number - 1):
        streams.append(await opened(one))
        await told(streams[-1][0], one)
    await asyncio.sleep(SETTLE_SECONDS)
    used = cpu_seconds(pid)
    await asyncio.sleep(IDLE_SECONDS)
    core = (cpu_seconds(pid) - used) / IDLE_SECONDS / number
    kib = 1_024 * (memory_mib(pid) - before) / (number - 1)
    for _, writer in streams:
        writer.close()
    return {"kib": kib, "core": core}
