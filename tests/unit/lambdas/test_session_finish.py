"""session_finish: what it sends, and how it reads each answer of the server."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from vector_common.errors import BadRequest, ChromaFailed, ServerBusy, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ADDRESS = "http://10.0.0.7:8080"


@pytest.fixture
def finish(
    load: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Calls the handler with a server that gives one answer, and keeps what was sent."""
    token = tmp_path / "token"
    token.write_text(json.dumps({"token": "secret", "expiresAt": time.time() + 60}), "utf-8")
    module = load("session_finish")

    def call(answer: Any, **event: Any) -> tuple[Any, list[Any]]:
        sent: list[Any] = []

        def request(method: str, url: str, **more: Any) -> Any:
            sent.append((method, url, more))
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(module, "_http", SimpleNamespace(request=request))
        session = {"address": f"{ADDRESS}/", "tokenReference": token.as_uri()}
        return module.handler({"session": session, **event}, None), sent

    return call


def answer(status: int, body: Any = None) -> Any:
    return SimpleNamespace(status=status, data=json.dumps(body or {}).encode())


def test_it_posts_the_task_token_with_the_session_s_bearer(finish: Callable[..., Any]) -> None:
    result, [(method, url, more)] = finish(answer(202, {"phase": "serving"}), taskToken="task")
    assert result == {"accepted": True, "phase": "serving"}
    assert (method, url) == ("POST", f"{ADDRESS}/_session/finish")
    assert json.loads(more["body"]) == {"taskToken": "task"}
    assert more["headers"]["Authorization"] == "Bearer secret"


def test_without_a_task_token_the_body_is_empty(finish: Callable[..., Any]) -> None:
    _, [(_, _, more)] = finish(answer(202))
    assert json.loads(more["body"]) == {}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_is_server_busy(finish: Callable[..., Any], status: int) -> None:
    with pytest.raises(ServerBusy):
        finish(answer(status))


def test_a_server_that_does_not_answer_is_server_busy(finish: Callable[..., Any]) -> None:
    with pytest.raises(ServerBusy, match="MaxRetryError"):
        finish(urllib3.exceptions.MaxRetryError(None, "/"))  # type: ignore[arg-type]


def test_refusals_are_told_apart(finish: Callable[..., Any]) -> None:
    with pytest.raises(Unauthorized):
        finish(answer(401))
    with pytest.raises(BadRequest, match="the server answers 400"):
        finish(answer(400, {"error": "BadRequest"}))


@pytest.mark.parametrize(
    "session",
    [{}, {"address": "ftp://x", "tokenReference": "file:///t"}, {"address": ADDRESS}],
)
def test_an_event_without_a_session_is_refused(
    load: Callable[[str], Any], session: dict[str, Any]
) -> None:
    with pytest.raises(BadRequest, match="session"):
        load("session_finish").handler({"session": session}, None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff", b"[" * 100_000])
def test_an_answer_that_is_not_a_session_s_has_a_name(
    finish: Callable[..., Any], body: bytes
) -> None:
    with pytest.raises(ChromaFailed, match="not a session's"):
        finish(SimpleNamespace(status=202, data=body))
