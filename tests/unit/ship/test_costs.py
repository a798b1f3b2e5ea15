from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.errors import ConfigError
from layersmith.ship.cost import billing, usage

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_bills_warn_once_and_fail_first() -> None:
    limits = billing.Thresholds(warn=1, fail=2, quota_warn=0.5, quota_fail=0.9)
    found = billing.alarms(3.0, {"eu-west-1": 0.6, "us-east-1": 0.95}, limits, "USD")
    assert [alarm.fails for alarm in found] == [True, False, True]
    assert billing.alarms(0.5, {"eu-west-1": 0.5}, limits, "USD") == []


def test_every_price_has_a_source() -> None:
    document = json.loads(billing.PRICES.read_text(encoding="utf-8"))
    assert datetime.fromisoformat(document["date"])
    assert all(one["source"].startswith("https://") for one in document["prices"].values())


def event(number: int, kind: str, second: int, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "previousEventId": number - 1,
        "type": kind,
        "timestamp": NOW + timedelta(seconds=second),
        **more,
    }


def test_sessions_are_counted_from_their_history() -> None:
    task = {"Tasks": [{"Cpu": "2048", "Memory": "4096"}]}
    submitted = {"resourceType": "ecs", "resource": "runTask.sync", "output": json.dumps(task)}
    history = [
        event(1, "ExecutionStarted", 0),
        event(2, "TaskStateEntered", 0),
        event(3, "TaskSubmitted", 10, taskSubmittedEventDetails=submitted),
        event(4, "TaskSucceeded", 1810),
        event(5, "TaskStateExited", 1811),
        event(6, "SucceedStateEntered", 1811),
    ]
    used = usage.of_execution(history)
    assert used == usage.SessionUsage(1, 2, 2 * 0.5, 4 * 0.5)


def test_jobs_that_did_not_end_are_not_billed(tmp_path: Path) -> None:
    jobs = [{"started_at": "2026-11-21T20:00:00Z", "completed_at": None, "labels": ["x"]}]
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps({"jobs": jobs}), encoding="utf-8")
    assert usage.minutes(usage.read_jobs(path)) == {}
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(ConfigError, match="no jobs of a workflow run"):
        usage.read_jobs(path)
