"""What stands between a service and its Redis: an address that can be led elsewhere, and Sentinels."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.processes import Redis, free_port
from support.waiting import eventually


class Forwarder:
    """An address that leads to one server after the other, as a proxy or a name does.

    Connections that were made before stay where they are.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._loses: list[bytes] = []
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._dark: set[socket.socket] = set()
        self._mute: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._server.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def leads_to(self, port: int) -> None:
        self._target = port

    def loses_the_answer_to(self, command: str) -> None:
        """Once: the server gets the command and does it, the client finds its connection closed."""
        self._loses.append(command.encode())

    def goes_dark(self) -> None:
        """Nothing passes any longer over the connections there are, and they stay open: their machine is gone."""
        self._dark |= {end for pair in self._pairs for end in pair}

    def stop(self) -> None:
        self._server.close()
        for pair in self._pairs:
            _close(pair)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    client.close()
                    continue
                self._pairs.append((client, server))
                if self._server.fileno() < 0:  # `stop` may have looked at the pairs before
                    _close((client, server))
                threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()
                threading.Thread(target=self._pass_back, args=(server, client), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65_536):
                for lost in [lost for lost in self._loses if lost in data]:
                    self._loses.remove(lost)
                    self._mute.add(server)
                if client not in self._dark:
                    server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)

    def _pass_back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while (data := server.recv(65_536)) and server not in self._mute:
                if server not in self._dark:
                    client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)


def _close(pair: tuple[socket.socket, socket.socket]) -> None:
    for end in pair:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


class Sentinels:
    """Three of them, which watch a primary and its replica, and agree after half a second that it is down."""

    NAME = "of-the-tests"

    def __init__(self, folder: Path, primary: Redis, *more: str) -> None:
        self.ports = [free_port() for _ in range(3)]
        self.processes = []
        for port in self.ports:
            file = folder / f"sentinel-{port}.conf"
            lines = [
                f"port {port}",
                "bind 127.0.0.1",
                f"dir {folder}",
                f"sentinel monitor {self.NAME} 127.0.0.1 {primary.port} 2",
                f"sentinel down-after-milliseconds {self.NAME} 500",
                f"sentinel failover-timeout {self.NAME} 2000",
                *more,
            ]
            file.write_text("\n".join(lines) + "\n")
            command = ["redis-server", str(file), "--sentinel"]
            self.processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))

    def wait_agreed(self) -> None:
        eventually(self._agree, within=20, what="the Sentinels know each other and the replica")

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"redis+sentinel://{places}/{self.NAME}/0"

    def _agree(self) -> bool:
        try:
            said = [self.say(port, f"SENTINEL MASTER {self.NAME}") for port in self.ports]
        except OSError:
            return False
        return all("num-slaves\r\n$1\r\n1" in one and "num-other-sentinels\r\n$1\r\n2" in one for one in said)

    def fail_over(self) -> None:
        """As an operator asks for it: the primary is well, and becomes a replica."""
        assert self.say(self.ports[0], f"SENTINEL FAILOVER {self.NAME}").startswith("+OK")

    @staticmethod
    def say(port: int, command: str) -> str:
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.sendall(f"{command}\r\nTHE-END\r\n".encode())  # they know no QUIT
            said = b""
            while b"-ERR unknown command 'THE-END'" not in said:
                said += sock.recv(65536)
            return said.decode()

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


class Pair:
    """Two servers, one of them the replica of the other, and an address that leads to the primary."""

    def __init__(self, folder: Path) -> None:
        (folder / "one").mkdir()
        (folder / "two").mkdir()
        self.primary, self.replica = Redis(folder / "one"), Redis(folder / "two")
        self._follow()
        self.address = Forwarder(self.primary.port)

    def _follow(self) -> None:
        self.replica.say(f"REPLICAOF 127.0.0.1 {self.primary.port}")
        eventually(lambda: "master_link_status:up" in self.replica.say("INFO replication"), what="the replica follows")

    def fail_over(self, *, address_after: float = 0.0) -> None:
        """The replica becomes the primary, the primary its replica, and the address leads there, if a little later.

        As `FAILOVER` does it: writes wait until the replica has all earlier ones. Replication is asynchronous.
        """
        self.primary, self.replica = self.replica, self.primary
        self.replica.say("CLIENT PAUSE 5000 WRITE")
        eventually(lambda: _offset(self.primary) == _offset(self.replica), what="the replica has every write")
        self.primary.say("REPLICAOF NO ONE")
        self.replica.say(f"REPLICAOF 127.0.0.1 {self.primary.port}")
        self.replica.say("CLIENT UNPAUSE")
        time.sleep(address_after)
        self.address.leads_to(self.primary.port)

    def stop(self) -> None:
        self.address.stop()
        for redis in (self.primary, self.replica):
            redis.thaw()
            redis.kill()


def _offset(redis: Redis) -> str:
    return redis.say("INFO replication").partition("master_repl_offset:")[2].partition("\r")[0]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    if not Redis.available():
        pytest.skip("redis-server is not on PATH (Debian: apt-get install redis-server); CI has it")
    pair = Pair(tmp_path)
    yield pair
    pair.stop()


@contextmanager
def sentinels(folder: Path, pair: Pair, *more: str) -> Iterator[Sentinels]:
    watching = Sentinels(folder, pair.primary, *more)
    try:
        watching.wait_agreed()
        yield watching
    finally:
        watching.stop()
