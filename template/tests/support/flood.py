"""Clients that send as fast as they can, over raw sockets, and read what comes back, or do not.

    python -m support.flood PORT CONNECTIONS READING     with {"opening": "…", "repeated": "…"} (latin-1) on stdin

prints {"sent": bytes, "answers": …} once its stdin ends. A process of its own: only the service is to feel it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from support.processes import TESTS, Service, call

_LOOK_SECONDS = 0.1


@dataclass
class Flood:
    """What a flood did to a service."""

    sent: int  # bytes
    answers: int
    peak: int  # resident bytes of the service
    slowest_probe: float  # seconds
    failed_probes: int


async def flooded(
    service: Service, opening: bytes, repeated: bytes, *, seconds: float, connections: int, reading: bool
) -> Flood:
    """Sends `opening`, then `repeated` again and again, over so many connections; a closed one is opened again."""
    script = {"opening": opening.decode("latin-1"), "repeated": repeated.decode("latin-1")}
    flood = _started(script, str(service.port), str(connections), str(int(reading)))
    until, peak, slowest, failed = time.monotonic() + seconds, 0, 0.0, 0
    while time.monotonic() < until:
        began = time.monotonic()
        status, _ = await asyncio.to_thread(call, "GET", f"{service.url}/livez")
        failed += status != 200
        slowest = max(slowest, time.monotonic() - began)
        peak = max(peak, service.memory())
        await asyncio.sleep(_LOOK_SECONDS)
    told = json.loads(flood.communicate(timeout=10)[0])
    return Flood(told["sent"], told["answers"], peak, slowest, failed)


def _started(script: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "support.flood", *arguments]
    flood = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=TESTS)
    assert flood.stdin
    flood.stdin.write(json.dumps(script) + "\n")
    flood.stdin.flush()
    return flood


class _Client(asyncio.Protocol):
    """One connection at a time."""

    sent = answers = 0  # of all

    def __init__(self) -> None:
        self.lost, self.writable = asyncio.Event(), asyncio.Event()
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        _Client.answers += data.count(b"HTTP/1.1 ")

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        self.writable.set()


async def _send(port: int, opening: bytes, repeated: bytes, reading: bool) -> None:
    while True:
        with suppress(OSError):
            transport, client = await asyncio.get_running_loop().create_connection(_Client, "127.0.0.1", port)
            if not reading:
                transport.pause_reading()
            transport.write(opening)
            while not client.lost.is_set():
                transport.write(repeated)
                _Client.sent += len(repeated)
                await client.writable.wait()
                await asyncio.sleep(0)
        await asyncio.sleep(0.01)


async def _main(port: int, connections: int, reading: bool) -> None:
    script = {name: text.encode("latin-1") for name, text in json.loads(sys.stdin.readline()).items()}
    clients = [asyncio.create_task(_send(port, **script, reading=reading)) for _ in range(connections)]
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps({"sent": _Client.sent, "answers": _Client.answers}))
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "1"))
