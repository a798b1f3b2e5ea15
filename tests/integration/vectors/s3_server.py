"""moto's S3 and S3 Vectors in a process of its own, with faults on request.

Requests change state one after the other, as S3's conditional writes are atomic and moto's, under
threads, are not. A fault is a rule posted to /_faults: ``{"method": "PUT", "path": "regex",
"skip": 0, "times": 1, "action": ...}`` with one of the actions

* ``error``: answer 500 without doing anything,
* ``lost``: do it, then answer 500, as when an answer gets lost,
* ``cut``: answer with half of the body and close,
* ``slow``: wait for ``seconds`` first.

Run as a module, it prints its port and serves until its standard input closes.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support import vector_service

Start = Callable[..., Any]


class Server:
    """A WSGI application around moto's."""

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self._rules: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/_faults":
            length = int(environ["CONTENT_LENGTH"])
            self._rules = json.loads(environ["wsgi.input"].read(length))
            start("200 OK", [("Content-Length", "0")])
            return []
        rule = self._match(environ)
        action = rule["action"] if rule else None
        if action == "slow":
            time.sleep(rule["seconds"])  # type: ignore[index]
        if action == "error":
            return _fail(start)
        with self._lock:
            status, headers, body = self._run(environ)
        if action == "lost":
            return _fail(start)
        start(status, headers)
        return _half(body) if action == "cut" else [body]

    def _match(self, environ: dict[str, Any]) -> dict[str, Any] | None:
        for rule in self._rules:
            if rule.get("method", environ["REQUEST_METHOD"]) != environ["REQUEST_METHOD"]:
                continue
            if not re.search(rule.get("path", ""), environ["PATH_INFO"]):
                continue
            if rule.get("skip", 0):
                rule["skip"] -= 1
                continue
            if rule["times"]:
                rule["times"] -= 1
                return rule
        return None

    def _run(self, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        answer: list[Any] = []
        chunks = self._app(environ, lambda status, headers, *_: answer.append((status, headers)))
        body = b"".join(chunks)
        status, headers = answer[0]
        return status, headers, body


def _fail(start: Start) -> Iterable[bytes]:
    body = b"<Error><Code>InternalError</Code><Message>a fault of the test</Message></Error>"
    start("500 Internal Server Error", [("Content-Length", str(len(body)))])
    return [body]


def _half(body: bytes) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    raise ConnectionAbortedError("a fault of the test")


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Say nothing."""


def main() -> None:
    vector_service.install()
    server = make_server("127.0.0.1", 0, Server(), threaded=True, request_handler=_Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
