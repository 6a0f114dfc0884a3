"""Load on one address: as many requests as fit into some seconds, over a few kept connections."""

import asyncio
import statistics
import time
from dataclasses import dataclass


@dataclass
class Load:
    """What a round gave."""

    count: int
    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int


async def connection(port: int, request: bytes, until: float, times: list[float]) -> int:
    """Send a request after another until the time is up; gives how many were not answered with 200."""
    failed = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while (started := time.perf_counter()) < until:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            times.append(time.perf_counter() - started)
            failed += not head.startswith(b"HTTP/1.1 200")
    finally:
        writer.close()
    return failed


async def round_of(port: int, request: bytes, seconds: float, connections: int) -> Load:
    times: list[float] = []
    started = time.perf_counter()
    until = started + seconds
    failed = sum(await asyncio.gather(*(connection(port, request, until, times) for _ in range(connections))))
    taken = time.perf_counter() - started
    quantiles = statistics.quantiles(times, n=100)
    return Load(len(times), len(times) / taken, quantiles[49] * 1_000, quantiles[98] * 1_000, failed)
