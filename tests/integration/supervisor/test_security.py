"""What strangers and careless clients meet at the proxy, in front of a real server."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support import clocks
from tests.support.chroma_sessions import listening, memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEARTBEAT = "/api/v2/heartbeat"
DATABASES = "/api/v2/tenants/default_tenant/databases"
MIB = 1024 * 1024
REQUEST, BODY, HEADER = 2.0, 0.4, 0.6
"""Time-outs in seconds on a quiet machine, as everything that tests wait for below."""

LIMITS = {
    "MAX_REQUESTS_PER_SECOND": "40",
    "MAX_CONCURRENT_REQUESTS": "6",
    "MAX_CONNECTIONS": "24",
}


@pytest.fixture(scope="module")
def session(shared_start: Any) -> Any:
    return shared_start(
        **LIMITS,
        REQUEST_TIMEOUT=str(clocks.seconds(REQUEST)),
        BODY_TIMEOUT=str(clocks.seconds(BODY)),
        HEADER_TIMEOUT=str(clocks.seconds(HEADER)),
    )


@pytest.fixture
def http(session: Any) -> Iterator[httpx.Client]:
    with session.client() as client:
        yield client


@pytest.fixture
def wire(session: Any) -> Iterator[Callable[[], socket.socket]]:
    """Opens plain connections to the proxy."""
    opened: list[socket.socket] = []
    address = urlsplit(session.url)

    def connect() -> socket.socket:
        opened.append(
            socket.create_connection((address.hostname, address.port), timeout=clocks.seconds(30))
        )
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


def head(session: Any, line: str, *headers: str) -> bytes:
    """A request's header with the session's token."""
    return "\r\n".join(
        [line, "Host: chroma", f"Authorization: Bearer {session.token}", *headers, "", ""]
    ).encode()


def answer(connection: socket.socket) -> bytes:
    """Everything until the proxy closes the connection."""
    pieces = []
    try:
        while piece := connection.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


MALFORMED = [
    "GET /api/v2/heartbeat HTTP/1.1\r\nHost: chroma\r\nAuthorization : Bearer {token}\r\n\r\n",
    "GET /api/v2/heartbeat HTTP/1.1\r\nHost: chroma\r\nAuthorization: Bearer {token}\x01\r\n\r\n",
    "GET /api/v2/{token} HTTP/9\r\n\r\n",
    "GET /api/v2/heartbeat HTTP/1.1\r\nBearer {token}\r\n\r\n",
    "POST /api/v2 HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Length: {token}\r\n\r\n",
    "POST /api/v2 HTTP/1.1\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: {token}\r\n\r\n",
    "{token} / HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("request_text", MALFORMED, ids=range(len(MALFORMED)))
def test_nothing_of_a_malformed_request_is_logged_or_sent_back(
    session: Any, wire: Callable[[], socket.socket], request_text: str
) -> None:
    before = len(session.events)
    connection = wire()
    connection.sendall(request_text.replace("{token}", session.token).encode("latin-1"))
    connection.shutdown(socket.SHUT_WR)
    reply = answer(connection)
    assert status(reply) in {400, 401, 405, 0}
    assert session.token.encode() not in reply
    assert b"aiohttp" not in reply
    assert b"Python" not in reply
    with session.client() as client:
        assert client.get("/_session/status").status_code == 200
    said = json.dumps(session.events[before:])
    assert session.token not in said
    assert "Traceback" not in said
    assert "not json" not in said


def status(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1]) if reply else 0


# Who may come in.


def test_nobody_without_the_token(session: Any, shared_start: Any) -> None:
    other = shared_start(volume="other", DATABASE="other", TOKEN_LIFETIME="3")
    expires_at = json.loads(other.token_file.read_text())["expiresAt"]
    with other.client() as client:
        in_time = client.get(HEARTBEAT).status_code
        assert in_time == 200 or time.time() >= expires_at
    headers: list[tuple[str, str]]
    for headers in (
        [],
        [("Authorization", "Bearer")],
        [("Authorization", f"Basic {session.token}")],
        [("Authorization", "Bearer wrong")],
        [("Authorization", f"Bearer {session.token}x")],
        [("Authorization", f"Bearer {session.token[:-1]}")],
        [("Authorization", f"Bearer {other.token}")],
        [("Authorization", f"Bearer {session.token}"), ("Authorization", "Bearer wrong")],
        [("X-Chroma-Token", session.token)],
    ):
        for method, path in (
            ("GET", HEARTBEAT),
            ("GET", f"{HEARTBEAT}?token={session.token}"),
            ("POST", "/_session/finish"),
            ("GET", "/_session/status"),
            ("GET", "/etc/passwd"),
        ):
            reply = httpx.request(method, session.url + path, headers=headers, trust_env=False)
            assert reply.status_code == 401, headers
            assert reply.headers["www-authenticate"].startswith("Bearer ")
            assert session.token not in reply.text
    time.sleep(max(expires_at + 1 - time.time(), 0))
    with other.client() as client:
        reply = client.get(HEARTBEAT)
    assert reply.status_code == 401
    assert "expired" in reply.headers["www-authenticate"]
    assert other.terminate() == 0


def test_health_alone_needs_no_token_and_says_little(session: Any) -> None:
    reply = httpx.get(f"{session.url}/_session/health", trust_env=False)
    assert reply.status_code == 200
    assert reply.json() == {"ready": True, "phase": "serving"}
    assert "aiohttp" not in reply.headers["server"]


def test_the_server_listens_on_loopback_alone(session: Any) -> None:
    assert {address for address, _ in listening(session.server_pid())} == {"0100007F"}


def test_the_server_inherits_no_secret(session: Any) -> None:
    environment = Path(f"/proc/{session.server_pid()}/environ").read_bytes()
    assert b"TOKEN" not in environment
    assert b"STORAGE_URL" not in environment


# Names that lead elsewhere.


@pytest.mark.parametrize(
    "target",
    [
        "/api/v2/../../../etc/passwd",
        "/api/v2/tenants/%2e%2e/databases/%2e%2e",
        "/api/v2/tenants/..%2f..%2fetc/databases/x",
        "/api/v2/tenants/a%00b/databases/x",
        "http://169.254.169.254/latest/meta-data/",
        "//169.254.169.254/api/v2/heartbeat",
        "/api/v2/tenants/%252e%252e%252f/databases",
    ],
)
def test_paths_that_lead_elsewhere(
    session: Any, wire: Callable[[], socket.socket], target: str
) -> None:
    connection = wire()
    connection.sendall(head(session, f"GET {target} HTTP/1.1", "Connection: close"))
    assert status(answer(connection)) in {400, 404}


@pytest.mark.parametrize("name", ["../../escape", "/tmp/escape", "..", "a\\..\\b", "x\0y"])
def test_names_in_bodies_make_no_file_outside_the_database(
    session: Any, http: httpx.Client, shared_start: Any, name: str
) -> None:
    def files() -> set[Path]:
        database = shared_start.folder / "volume" / "database"
        return {p for p in shared_start.folder.rglob("*") if database not in p.parents}

    before = files()
    http.post("/api/v2/tenants", json={"name": name})
    http.post(DATABASES, json={"name": name})
    http.post(f"{DATABASES}/default_database/collections", json={"name": name})
    http.post(
        f"{DATABASES}/default_database/collections",
        json={"name": "plain", "get_or_create": True, "metadata": {"path": name}},
    )
    assert files() == before
    assert not Path("/tmp/escape").exists()
    assert http.get(HEARTBEAT).status_code == 200


# Bodies that are too large, too slow, or not what they seem.


def gigabyte() -> Iterator[bytes]:
    piece = b'{"ids": ["' + b"x" * (MIB - 10)
    for _ in range(1024):
        yield piece


def test_a_gigabyte_in_chunks_is_cut_off_and_not_kept(session: Any, http: httpx.Client) -> None:
    before = memory(session.process.pid)
    reply = http.post(f"{DATABASES}/default_database/collections", content=gigabyte())
    assert reply.status_code == 413
    assert memory(session.process.pid) - before < 24 * MIB
    assert memory(session.server_pid()) < 512 * MIB


def test_an_announced_gigabyte_is_not_read_at_all(
    session: Any, wire: Callable[[], socket.socket]
) -> None:
    connection = wire()
    line = f"POST {DATABASES} HTTP/1.1"
    connection.sendall(head(session, line, f"Content-Length: {1024 * MIB}"))
    assert status(answer(connection)) == 413


def test_compressed_bodies_are_refused(http: httpx.Client) -> None:
    reply = http.post(DATABASES, content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert reply.status_code == 415


def test_a_length_and_chunks_at_once_are_refused(
    session: Any, wire: Callable[[], socket.socket]
) -> None:
    connection = wire()
    line = f"POST {DATABASES} HTTP/1.1"
    smuggled = b"0\r\n\r\nGET /api/v2/reset HTTP/1.1\r\nHost: x\r\n\r\n"
    headers = (f"Content-Length: {len(smuggled)}", "Transfer-Encoding: chunked")
    connection.sendall(head(session, line, *headers) + smuggled)
    reply = answer(connection)
    assert status(reply) == 400
    assert b"Forbidden" not in reply, "the second request was read as one of its own"


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(
    session: Any, wire: Callable[[], socket.socket]
) -> None:
    body = b'{"name": "expected", "get_or_create": true}'
    connection = wire()
    connection.sendall(
        head(
            session,
            f"POST {DATABASES}/default_database/collections HTTP/1.1",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Expect: 100-continue",
            "Connection: close",
        )
    )
    assert status(connection.recv(1024)) == 100
    connection.sendall(body)
    assert status(answer(connection)) == 200


def test_a_body_that_stalls_or_drips_ends_with_408(
    session: Any, wire: Callable[[], socket.socket]
) -> None:
    line = f"POST {DATABASES} HTTP/1.1"
    stalled, dripping = wire(), wire()
    stalled.sendall(head(session, line, "Content-Length: 1000000") + b"{")
    dripping.sendall(head(session, line, "Content-Length: 1000000") + b"{")
    started = time.monotonic()
    for _ in range(12):  # longer than REQUEST, each pause shorter than BODY
        try:
            dripping.sendall(b" ")
        except OSError:
            break
        time.sleep(clocks.seconds(0.2))
    assert status(answer(dripping)) == 408
    assert status(answer(stalled)) == 408
    assert time.monotonic() - started < clocks.seconds(6)


def test_headers_that_stall_or_drip_are_cut_off(wire: Callable[[], socket.socket]) -> None:
    silent, dripping = wire(), wire()
    dripping.sendall(f"GET {HEARTBEAT} HTTP/1.1\r\n".encode())
    started = time.monotonic()
    for number in range(5):
        try:
            dripping.sendall(f"X-{number}: y\r\n".encode())
        except OSError:
            break
        time.sleep(clocks.seconds(0.2))
    assert status(answer(silent)) in {0, 408}
    assert status(answer(dripping)) in {0, 408}
    assert time.monotonic() - started < clocks.seconds(6)


def test_a_client_that_does_not_read_is_cut_off(
    session: Any, http: httpx.Client, words: Any, wire: Callable[[], socket.socket]
) -> None:
    collection = words(http, "large")
    for number in range(8):
        body = {
            "ids": [f"{number}"],
            "embeddings": [[1.0, 2.0, 3.0]],
            "documents": ["x" * 3 * MIB],
        }
        assert http.post(f"{collection.path}/upsert", json=body).status_code == 200
    wanted = b'{"include": ["documents"]}'
    connection = wire()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    before = memory(session.process.pid)
    connection.sendall(
        head(
            session,
            f"POST {collection.path}/get HTTP/1.1",
            "Content-Type: application/json",
            f"Content-Length: {len(wanted)}",
        )
        + wanted
    )
    time.sleep(clocks.seconds(REQUEST + 0.2))
    with pytest.raises(OSError, match=r"(?i)broken pipe|reset"):
        for _ in range(20):
            connection.sendall(b"x")
            time.sleep(0.05)
    assert memory(session.process.pid) - before < 16 * MIB
    assert http.get(HEARTBEAT).status_code == 200


# Too much at once, and a server that does not answer.


def test_too_many_requests_a_second(shared_start: Any) -> None:
    # So few that a busy machine has time for more.
    session = shared_start(volume="slow", DATABASE="slow", MAX_REQUESTS_PER_SECOND="5")
    with session.client() as http:
        replies = [http.get(HEARTBEAT) for _ in range(35)]
    refused = [reply for reply in replies if reply.status_code == 429]
    assert 0 < len(refused) <= 30
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in refused)
    assert {reply.status_code for reply in replies} == {200, 429}


def test_a_silent_server_is_504_and_its_queue_is_bounded(session: Any, http: httpx.Client) -> None:
    time.sleep(1)
    os.kill(session.server_pid(), signal.SIGSTOP)
    stat = Path(f"/proc/{session.server_pid()}/stat")
    while stat.read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.01)
    try:
        with ThreadPoolExecutor(10) as pool:
            codes = sorted(pool.map(lambda _: http.get(HEARTBEAT).status_code, range(10)))
    finally:
        os.kill(session.server_pid(), signal.SIGCONT)
    assert codes == [429] * 4 + [504] * 6
    assert http.get(HEARTBEAT).status_code == 200


def test_too_many_connections(session: Any, wire: Callable[[], socket.socket]) -> None:
    connections = [wire() for _ in range(40)]
    time.sleep(clocks.seconds(HEADER / 2))
    closed = 0
    for connection in connections:
        connection.setblocking(False)
        try:
            closed += connection.recv(1) == b""
        except BlockingIOError:
            pass
        except ConnectionResetError:
            closed += 1
    assert closed >= 16
    for connection in connections:
        connection.close()
    with session.client() as client:
        assert client.get(HEARTBEAT).status_code == 200


def test_what_is_not_for_clients(http: httpx.Client) -> None:
    assert http.post("/api/v2/reset").status_code == 403
    assert http.get("/docs/").status_code == 404
    assert http.get("/_session/secrets").status_code == 404
    assert http.get("/_session/finish").status_code == 405
    assert http.request("OPTIONS", HEARTBEAT).status_code == 405
    assert http.post("/_session/finish", content=b"[]").status_code == 400
    assert http.post("/_session/finish", content=b"x" * 10_000).status_code == 413
