"""The functions' client: what a proxy answers, a server that says nothing, no server at all."""

from __future__ import annotations

import importlib.util
import json
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from vector_common import chroma, errors
from vector_common.chroma import chroma_client

from tests.support import servers

if TYPE_CHECKING:
    from collections.abc import Iterator

LAMBDAS = Path(__file__).parents[3] / "lambdas"


def handler(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"function_{name}", LAMBDAS / name / "handler.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler


class Proxy(BaseHTTPRequestHandler):
    """Answers what the class says; remembers what was asked."""

    status = 200
    seen: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        self.seen.append(dict(self.headers))
        body = json.dumps({"error": "Proxy", "message": "as the test asks"}).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def proxy() -> Iterator[str]:
    Proxy.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    with servers.serving(server):
        yield f"http://127.0.0.1:{server.server_port}"
    chroma.forget()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, errors.Unauthorized),
        (413, errors.PayloadTooLarge),
        (429, errors.ServerBusy),
        (502, errors.ServerBusy),
        (503, errors.ServerBusy),
        (504, errors.ServerBusy),
    ],
)
def test_what_the_proxy_answers_has_a_name(
    proxy: str, tmp_path: Path, status: int, error: type[Exception]
) -> None:
    token = tmp_path / "token"
    token.write_text(json.dumps({"token": "secret-1", "expiresAt": time.time() + 60}))
    Proxy.status = status
    session = {"address": proxy, "tokenReference": token.as_uri()}
    event = {"collection": "receipts", "embedding": [1.0], "session": session}
    with pytest.raises(error) as caught:
        handler("vector_search")(event, None)
    assert Proxy.seen[0]["Authorization"] == "Bearer secret-1"
    assert "secret-1" not in str(caught.value)
    # A refused token is read again; any other one is kept.
    token.write_text(json.dumps({"token": "secret-2", "expiresAt": time.time() + 60}))
    with pytest.raises(error):
        handler("vector_search")(event, None)
    expected = "secret-2" if status == 401 else "secret-1"
    assert Proxy.seen[-1]["Authorization"] == f"Bearer {expected}"


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """chromadb's own client would wait here for ever."""
    from vector_common import chroma_timed

    monkeypatch.setattr(chroma_timed, "ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        session = {"address": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        event = {"collection": "receipts", "embedding": [1.0], "session": session}
        with pytest.raises(errors.ServerBusy, match="did not answer in time"):
            handler("vector_search")(event, None)
    chroma.forget()


def test_without_a_session_there_is_a_local_database_outside_lambda(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHROMA_PATH", str(tmp_path))
    client = chroma_client()
    vectors: Any = [[1.0, 0.0]]
    client.create_collection("receipts", embedding_function=None).add(ids=["a"], embeddings=vectors)
    event = {"collection": "receipts", "embedding": [1.0, 0.0]}
    assert handler("vector_search")(event, None)["results"][0]["id"] == "a"
    for name in ("AWS_LAMBDA_FUNCTION_NAME", "LAMBDA_TASK_ROOT"):
        with monkeypatch.context() as inside:
            inside.setenv(name, "/var/task")
            with pytest.raises(errors.ServerBusy, match="no session"):
                handler("vector_search")(event, None)
            inside.setenv("CHROMA_CLIENT", "full")
            assert handler("vector_search")(event, None)["results"][0]["id"] == "a"
    monkeypatch.setenv("CHROMA_CLIENT", "thin")
    with pytest.raises(errors.ServerBusy, match="no session"):
        handler("vector_search")(event, None)
    monkeypatch.setenv("CHROMA_CLIENT", "thick")
    with pytest.raises(errors.BadRequest, match="CHROMA_CLIENT: must be thin or full"):
        handler("vector_search")(event, None)
