"""An HTTPS proxy and its certificate: they lead a cloud's unchanged client to a local server."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


@cache  # gRPC reads its root certificates once per process
def certificate(host: str) -> tuple[bytes, bytes]:
    """A private key and a self-signed certificate for `host`, both as PEM."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now, day = datetime.now(UTC), timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, made.public_bytes(serialization.Encoding.PEM)


class Tunnel:
    """An HTTPS proxy for one host, which it maps to a local port."""

    def __init__(self, host: str, port: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_CONNECT(self) -> None:
                if self.path != f"{host}:443":
                    self.send_error(403)
                    return
                with socket.create_connection(("127.0.0.1", port)) as there:
                    self.send_response(200)
                    self.end_headers()
                    back = threading.Thread(target=_pump, args=(there, self.connection))
                    back.start()
                    _pump(self.connection, there)
                    back.join()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def settings(self) -> dict[str, str]:
        """The settings that lead a client through this proxy, instead of any other."""
        proxy = f"http://127.0.0.1:{self._server.server_port}"
        return {"https_proxy": proxy, "HTTPS_PROXY": proxy, "no_proxy": "", "NO_PROXY": ""}

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _pump(here: socket.socket, there: socket.socket) -> None:
    with suppress(OSError):  # either end may close first
        while data := here.recv(65_536):
            there.sendall(data)
        there.shutdown(socket.SHUT_WR)
