"""How long the client waits between attempts, and when it gives up; no server and no clock."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from layersmith.base import http

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = tuple[int, dict[str, str]] | Exception


class Line:
    """A client whose answers are given, and the pauses that it made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[Answer] = []
        self.sent: list[httpx.Request] = []
        self.pauses: list[float] = []
        monkeypatch.setattr(time, "sleep", self.pauses.append)
        self.client = httpx.Client(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        answer = self.answers.pop(0) if self.answers else (200, {})
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer[0], headers=answer[1], content=b"ok")

    def get(self) -> httpx.Response:
        return http.get(self.client, "http://index.test/file", {"Range": "bytes=0-1"})


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setenv("NETRC", "/none")
    return Line(monkeypatch)


@pytest.mark.parametrize(
    ("drawn", "expected"), [(min, [0.2, 0.4, 0.8]), (max, [0.4, 0.6, 1.0])], ids=["least", "most"]
)
def test_pauses_double_and_jitter(
    line: Line,
    monkeypatch: pytest.MonkeyPatch,
    drawn: Callable[[float, float], float],
    expected: list[float],
) -> None:
    monkeypatch.setattr(random, "uniform", drawn)
    line.answers = [(500, {}), httpx.ConnectError("gone"), (429, {})]
    assert line.get().content == b"ok"
    assert line.pauses == pytest.approx(expected)
    assert [request.headers["range"] for request in line.sent] == ["bytes=0-1"] * 4


def test_no_pause_is_longer_than_the_longest(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ATTEMPTS", 10)
    monkeypatch.setattr(random, "uniform", max)
    line.answers = [(503, {})] * 9
    line.get()
    assert max(line.pauses) == pytest.approx(http.LONGEST_PAUSE)
    assert line.pauses[4] < line.pauses[5] == line.pauses[8]


@pytest.mark.parametrize("fault", [400, 428, 430, 499])
def test_a_refusal_stands(line: Line, fault: int) -> None:
    line.answers = [(fault, {})]
    with pytest.raises(http.RequestFailed, match=f"the index answered {fault}"):
        line.get()
    assert (len(line.sent), line.pauses) == (1, [])


@pytest.mark.parametrize("fault", [429, 500, 599])
def test_a_fault_that_may_pass_is_tried_again(line: Line, fault: int) -> None:
    line.answers = [(fault, {})]
    assert line.get().status_code == 200
    assert (len(line.sent), len(line.pauses)) == (2, 1)


def test_it_is_sent_four_times_and_no_more(line: Line) -> None:
    line.answers = [(503, {})] * 9
    with pytest.raises(http.RequestFailed, match=r"^the index answered 503$"):
        line.get()
    assert (len(line.sent), len(line.pauses)) == (4, 3)


def test_a_connection_that_never_comes_has_a_name(line: Line) -> None:
    line.answers = [httpx.ConnectTimeout("http://secret@x")] * 4
    with pytest.raises(http.RequestFailed, match=r"^ConnectTimeout$"):
        line.get()
    assert len(line.sent) == 4


def test_what_is_no_fault_of_the_line_is_not_tried_again(line: Line) -> None:
    line.answers = [ValueError("a bug")]
    with pytest.raises(ValueError, match="a bug"):
        line.get()
    assert len(line.sent) == 1


@pytest.mark.parametrize(
    ("asked", "pauses"),
    [("0", [0.0]), ("7", [7.0]), ("60", [60.0]), ("61", None), ("3600", None)],
)
def test_retry_after_is_kept_to_up_to_a_minute(
    line: Line, asked: str, pauses: list[float] | None
) -> None:
    line.answers = [(429, {"Retry-After": asked})]
    if pauses is None:
        with pytest.raises(http.RequestFailed, match="429"):
            line.get()
    else:
        line.get()
    assert line.pauses == (pauses or [])


def test_a_retry_after_that_is_not_one_is_passed_over(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", min)
    line.answers = [(503, {"Retry-After": "soon"})]
    line.get()
    assert line.pauses == pytest.approx([http.PAUSE])
