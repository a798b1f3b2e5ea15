"""The marker on the volume, the rate limit, the task's address, the budget and the log."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest
from chroma_supervisor import address
from chroma_supervisor.logs import JsonFormatter
from chroma_supervisor.proxy.limits import RequestGate, TooMany
from chroma_supervisor.session import marker
from chroma_supervisor.session.budget import Budget
from chroma_supervisor.settings import ClientLimits

MARK = marker.Marker("run-1", "receipts", "0190", ("a", "b"), "ff", 1.5, ("c",))


def test_a_marker_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert marker.read(tmp_path) is None
    marker.write(tmp_path, MARK)
    assert marker.read(tmp_path) == MARK
    marker.remove(tmp_path)
    marker.remove(tmp_path)
    assert marker.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_marker_that_is_not_understood_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / marker.MARKER_NAME).write_text(text)
    assert marker.read(tmp_path) is None


def test_the_gate_refuses_beyond_rate_and_concurrency() -> None:
    async def scenario() -> None:
        gate = RequestGate(ClientLimits(requests_per_second=3, concurrent_requests=2))
        async with gate, gate:
            with pytest.raises(TooMany, match="under way"):
                await gate.__aenter__()
        assert gate.under_way == 0
        async with gate:
            pass
        with pytest.raises(TooMany, match="a second") as caught:
            await gate.__aenter__()
        assert caught.value.retry_after == 1
        assert gate.refused == 2
        await asyncio.sleep(0.4)
        async with gate:
            assert gate.under_way == 1

    asyncio.run(scenario())


def test_the_address_is_what_was_set_or_where_it_listens() -> None:
    assert address.find("http://proxy:1/", "127.0.0.1", 8080, {}).url == "http://proxy:1"
    assert address.find("", "127.0.0.1", 8080, {}) == address.TaskAddress(
        "http://127.0.0.1:8080", None
    )


def test_a_metadata_address_that_is_no_http_url_is_not_opened() -> None:
    environ = {address.METADATA_VARIABLE: "file:///etc/passwd"}
    assert address.find("", "127.0.0.1", 1, environ).task_arn is None


@pytest.mark.parametrize(
    ("largest", "fits", "words"),
    [
        (0, False, "MAX_SNAPSHOT_BYTES is not set"),
        (100_000_000, True, "fits into"),
        (1_000_000_001, False, "does not fit into"),
    ],
)
def test_the_budget_says_what_the_two_minutes_afford(largest: int, fits: bool, words: str) -> None:
    budget = Budget(bytes_per_second=10e6, largest_bytes=largest)
    assert budget.affordable_bytes == 1_000_000_000
    assert budget.fits is fits
    assert words in budget.sentence()
    assert "10.0 MB/s" in budget.sentence()


def test_a_log_line_is_json_without_line_breaks() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "phase", None, None)
    record.fields = {"message": "two\nlines", "path": Path("/data")}
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line) | {"time": ""} == {
        "time": "",
        "level": "info",
        "event": "phase",
        "message": "two\nlines",
        "path": "/data",
    }
