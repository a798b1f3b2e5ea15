"""A real server on loopback that answers what it is told to, and a client that asks it."""

from __future__ import annotations

import email.utils
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from layersmith.base import http, routes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Answers = list[tuple[int, dict[str, str]]]


class Server:
    """Gives its answers in turn, then 200; a status of 0 cuts the connection."""

    def __init__(self) -> None:
        self.answers: Answers = []
        self.asked: list[float] = []
        self.logins: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                outer.asked.append(time.monotonic())
                outer.logins.append(self.headers.get("Authorization"))
                status, headers = outer.answers.pop(0) if outer.answers else (200, {})
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in {"Content-Length": "2", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"ok")

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/file"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(http, "PAUSE", 0.001)
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def ask(server: Server) -> Iterator[Callable[[], httpx.Response]]:
    with httpx.Client(timeout=30) as client:
        yield lambda: http.get(client, server.url)


@pytest.mark.parametrize("fault", [0, 429, 500, 502, 503, 599])
def test_a_fault_that_passes_is_tried_again(
    server: Server, ask: Callable[[], httpx.Response], fault: int
) -> None:
    server.answers = [(fault, {})] * (http.ATTEMPTS - 1)
    assert ask().content == b"ok"
    assert len(server.asked) == http.ATTEMPTS


def test_a_transfer_that_is_cut_is_tried_again(
    server: Server, ask: Callable[[], httpx.Response]
) -> None:
    server.answers = [(200, {"Content-Length": "100"})]
    assert ask().content == b"ok"
    assert len(server.asked) == 2


@pytest.mark.parametrize("fault", [400, 401, 403, 404, 410, 428, 430, 499])
def test_a_refusal_stands(server: Server, ask: Callable[[], httpx.Response], fault: int) -> None:
    server.answers = [(fault, {})]
    with pytest.raises(http.RequestFailed, match=f"the index answered {fault}"):
        ask()
    assert len(server.asked) == 1


@pytest.mark.parametrize(("fault", "said"), [(0, "RemoteProtocolError"), (503, "answered 503")])
def test_it_gives_up_in_the_end(
    server: Server, ask: Callable[[], httpx.Response], fault: int, said: str
) -> None:
    server.answers = [(fault, {})] * (http.ATTEMPTS + 1)
    with pytest.raises(http.RequestFailed, match=said):
        ask()
    assert len(server.asked) == http.ATTEMPTS


def test_a_server_is_given_the_time_that_it_asks_for(
    server: Server, ask: Callable[[], httpx.Response]
) -> None:
    server.answers = [(429, {"Retry-After": "1"})]
    assert ask().status_code == 200
    first, second = server.asked
    assert second - first >= 1.0


def test_a_server_that_asks_for_too_long_is_not_waited_for(
    server: Server, ask: Callable[[], httpx.Response]
) -> None:
    server.answers = [(503, {"Retry-After": str(int(http.LONGEST_RETRY_AFTER) + 1)})]
    with pytest.raises(http.RequestFailed, match="503"):
        ask()
    assert len(server.asked) == 1


def test_what_retry_after_asks() -> None:
    now = 1_000_000_000.0
    date = email.utils.formatdate(now + 30, usegmt=True)
    assert http.retry_after("7", now) == 7.0
    assert http.retry_after(" 0 ", now) == 0.0
    assert http.retry_after(date, now) == 30.0
    assert http.retry_after(date, now + 100) == 0.0
    assert http.retry_after("soon", now) is None
    assert http.retry_after("", now) is None
    assert http.retry_after(None, now) is None


def test_the_login_of_netrc_is_sent_to_its_host_only(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask() -> None:
        with routes.client(tmp_path, timeout=30) as client:
            assert http.get(client, server.url).content == b"ok"

    file = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(file))
    ask()
    file.write_text("machine other.test login a password b\n")
    ask()
    file.write_text("machine 127.0.0.1 login reader password secret\n")
    ask()
    file.write_text("nonsense 127.0.0.1\n")
    ask()
    assert [bool(one) for one in server.logins] == [False, False, True, False]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_redirect_to_another_host_carries_only_that_hosts_login(
    server: Server, elsewhere: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> None:
        server.answers = [(302, {"Location": elsewhere.url, "Content-Length": "2"})]
        with routes.client(tmp_path, timeout=30) as client:
            assert http.get(client, server.url).content == b"ok"

    mine = server.url.replace("//", "//a:mine@")
    theirs = elsewhere.url.replace("//", "//b:theirs@")
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_DEFAULT_INDEX", mine)
    ask()
    monkeypatch.setenv("UV_EXTRA_INDEX_URL", theirs)
    ask()
    assert [bool(one) for one in server.logins] == [True, True]
    assert elsewhere.logins[0] is None
    assert elsewhere.logins[1] not in (None, server.logins[0])


def test_the_next_login_of_a_host_is_tried(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    names = ("first", "second", "third")
    urls = [server.url.replace("//", f"//{name}:x@") for name in names]
    monkeypatch.setenv("UV_EXTRA_INDEX_URL", " ".join(urls))
    server.answers = [(401, {}), (403, {})]
    with routes.client(tmp_path, timeout=30) as client:
        assert http.get(client, server.url).content == b"ok"
    assert len(set(server.logins)) == 3
    server.answers = [(401, {})] * 3
    with (
        routes.client(tmp_path, timeout=30) as client,
        pytest.raises(http.RequestFailed, match="401: it does not accept the login"),
    ):
        http.get(client, server.url)


def test_nothing_secret_is_in_the_message(server: Server) -> None:
    server.answers = [(404, {})]
    address = server.url.replace("//", "//name:hidden@")
    with httpx.Client() as client, pytest.raises(http.RequestFailed) as refused:
        http.get(client, address)
    assert "hidden" not in str(refused.value)
