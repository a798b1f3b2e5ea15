"""Two small proxies on loopback: HTTP with CONNECT, and SOCKS 5."""

from __future__ import annotations

import base64
import select
import socket
import struct
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any

from tests.support import servers

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Proxy:
    """A proxy that runs.

    Attributes:
        address: ``127.0.0.1:PORT``.
        asked: What it was asked for, each as ``host:port``.
    """

    address: str
    asked: list[str] = field(default_factory=list)


class Forwarding(BaseHTTPRequestHandler):
    """Asks in the client's name, or passes its bytes on."""

    proxy: Proxy
    login: str | None

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_CONNECT(self) -> None:
        """Pass bytes both ways."""
        if not self._may():
            return
        self.proxy.asked.append(self.path)
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as other:
            self.send_response(200)
            self.end_headers()
            _pass(self.connection, other)
        self.close_connection = True

    def do_HEAD(self) -> None:
        """Answer as GET does."""
        self.do_GET()

    def do_GET(self) -> None:
        """Ask in the client's name."""
        if not self._may():
            return
        request = urllib.request.Request(self.path, method=self.command)
        self.proxy.asked.append(request.host)
        for name in ("Authorization", "Range", "Accept"):
            if name in self.headers:
                request.add_header(name, self.headers[name])
        opener = urllib.request.build_opener(_EveryStatus, urllib.request.ProxyHandler({}))
        with opener.open(request) as answer:
            content = answer.read()
            self.send_response(answer.status)
            for name in ("Content-Type", "Content-Range", "Content-Length", "WWW-Authenticate"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.end_headers()
            self.wfile.write(content)

    def _may(self) -> bool:
        wanted = f"Basic {base64.b64encode((self.login or '').encode()).decode()}"
        if self.login is None or self.headers.get("Proxy-Authorization") == wanted:
            return True
        self.send_response(407)
        self.send_header("Proxy-Authenticate", "Basic")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False


@contextmanager
def http(login: str | None = None) -> Iterator[Proxy]:
    """Run an HTTP proxy, which asks for ``user:password`` where a login is given."""

    class One(Forwarding):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), One)
    server.daemon_threads = True
    One.login, One.proxy = login, Proxy(f"127.0.0.1:{server.server_address[1]}")
    with servers.serving(server):
        yield One.proxy


class _EveryStatus(urllib.request.HTTPErrorProcessor):
    def http_response(self, request: Any, response: Any) -> Any:
        """Take an error's answer as an answer."""
        return response


@contextmanager
def socks5() -> Iterator[Proxy]:
    """Run a SOCKS 5 proxy without authentication (RFC 1928)."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            """Answer the greeting and one CONNECT, and pass bytes both ways."""
            _, methods = self.rfile.read(2)
            self.rfile.read(methods)
            self.wfile.write(b"\x05\x00")
            _, _, _, kind = self.rfile.read(4)
            size = {1: 4, 4: 16}.get(kind) or self.rfile.read(1)[0]
            name = self.rfile.read(size)
            host = name.decode() if kind == 3 else socket.inet_ntoa(name)
            (port,) = struct.unpack("!H", self.rfile.read(2))
            proxy.asked.append(f"{host}:{port}")
            with socket.create_connection((host, port)) as other:
                self.wfile.write(b"\x05\x00\x00\x01" + bytes(6))
                _pass(self.connection, other)

    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = Proxy(f"127.0.0.1:{server.server_address[1]}")
    with servers.serving(server):
        yield proxy


def _pass(one: socket.socket, other: socket.socket) -> None:
    ways = {one: other, other: one}
    while True:
        for ready in select.select(list(ways), [], [])[0]:
            data = ready.recv(65536)
            if not data:
                return
            ways[ready].sendall(data)
