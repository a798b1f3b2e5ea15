from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.errors import ConfigError
from layersmith.ship.cost import billing, usage
from layersmith.stacks import sessions
from layersmith.verbs import cost

from tests.unit.ship.fakes import refusal

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
        event(6, "SucceedStateEntered", 1900),
    ]
    used = billing.SessionUsage().plus(billing.of_execution(history))
    assert used == billing.SessionUsage(1, 2, 2 * 0.5, 4 * 0.5)


def submission(resource: str, output: str | None) -> list[dict[str, Any]]:
    detail = {"resourceType": "ecs", "resource": resource, "output": output}
    return [
        event(1, "ExecutionStarted", 0),
        event(2, "TaskSubmitted", 0, taskSubmittedEventDetails=detail),
        event(3, "TaskSucceeded", 30),
        event(4, "ExecutionFailed", 7200),
    ]


def test_a_server_that_called_back_is_billed_until_the_execution_is_over() -> None:
    task = json.dumps({"Tasks": [{"Cpu": "512", "Memory": "1024"}]})
    waited = billing.of_execution(submission("runTask.sync", task))
    assert (waited.task_seconds, waited.vcpu, waited.gb) == (billing.MINIMUM_SECONDS, 0.5, 1.0)
    assert billing.of_execution(submission("runTask.waitForTaskToken", task)).task_seconds == 7200


def test_a_task_of_unknown_size_is_counted_and_one_that_never_was_is_not() -> None:
    unknown = billing.of_execution(submission("runTask.waitForTaskToken", "no JSON"))
    assert (unknown.vcpu, unknown.gb, unknown.task_seconds) == (1.0, 2.0, 7200)
    none = billing.of_execution(submission("runTask.waitForTaskToken", '{"Tasks": []}'))
    assert (none.vcpu, none.task_seconds) == (0.0, 0.0)
    assert billing.of_execution(submission("describeTasks", None)).task_seconds == 0.0


def test_jobs_that_did_not_end_are_not_billed(tmp_path: Path) -> None:
    jobs = [{"started_at": "2026-11-21T20:00:00Z", "completed_at": None, "labels": ["x"]}]
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps({"jobs": jobs}), encoding="utf-8")
    assert usage.minutes(usage.read_jobs(path)) == {}
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(ConfigError, match="not a readable list of jobs"):
        usage.read_jobs(path)


class OneSession:
    """Step Functions with one machine and one session, as boto3 answers."""

    def __init__(self, events: list[dict[str, Any]], output: dict[str, Any] | None) -> None:
        self.events = events
        self.execution = {
            "executionArn": "arn:e", "startDate": NOW, "stopDate": events[-1]["timestamp"],
            "status": "SUCCEEDED" if output else "FAILED",
        }  # fmt: skip
        if output:
            self.execution["output"] = json.dumps(output)

    def client(self, service: str, region: str) -> OneSession:
        return self

    def get_paginator(self, name: str) -> OneSession:
        self.asked = name
        return self

    def paginate(self, **given: Any) -> list[dict[str, Any]]:
        if given.get("stateMachineArn") == "arn:express":
            raise refusal("StateMachineTypeNotSupported")
        name = "layersmith-dev-vector-session"
        machines = [
            {"name": name, "stateMachineArn": "arn:m", "type": "STANDARD"},
            {"name": f"{name}-of-others", "stateMachineArn": "arn:express", "type": "EXPRESS"},
        ]
        return {
            "list_state_machines": [{"stateMachines": machines}],
            "list_executions": [{"executions": [self.execution]}],
            "get_execution_history": [{"events": self.events[:3]}, {"events": self.events[3:]}],
        }[self.asked]


SERVER = {"cpu": "1024", "memory": "4096", "createdAt": "2026-11-21T00:00:02Z"}
BEGUN = [
    event(1, "ExecutionStarted", 0),
    event(2, "TaskStateEntered", 0, stateEnteredEventDetails={"name": "StartServer"}),
    event(3, "TaskSubmitted", 1, taskSubmittedEventDetails={
        "resourceType": "ecs", "resource": "runTask.waitForTaskToken",
        "output": json.dumps({"Tasks": [{"Cpu": "1024", "Memory": "4096"}]})}),
    event(4, "TaskSucceeded", 9),
    event(5, "TaskStarted", 10, taskStartedEventDetails={"resourceType": "lambda"}),
    event(6, "TaskSucceeded", 14),
]  # fmt: skip


@pytest.mark.parametrize(
    ("stopped", "seconds"),
    [("2026-11-21T00:00:20Z", 60.0), ("2026-11-21T00:03:02Z", 180.0), (None, 199.0)],
    ids=["the minimum of a minute", "as ECS reports it", "a session that failed"],
)
def test_a_session_has_one_bill_wherever_it_is_asked_for(
    stopped: str | None, seconds: float
) -> None:
    output = {"task": {**SERVER, "stoppedAt": stopped}} if stopped else None
    kind = "ExecutionSucceeded" if output else "ExecutionFailed"
    detail = {"executionSucceededEventDetails": {"output": json.dumps(output)}} if output else {}
    events = [*BEGUN, event(7, kind, 200, **detail)]
    states: Any = OneSession(events, output)
    prices = billing.load()

    ended = sessions._ended(states.execution, events)
    used = usage.sessions(states, "eu-west-1", "layersmith-dev", NOW)
    month = cost.bill(prices, [], used, {}, "eu-west-1")

    assert ended.use.task_seconds == seconds
    followed = billing.session_items(ended.use, prices)
    assert {one.key: one.cost for one in month} == {one.key: one.cost for one in followed}
    assert billing.total(month) == billing.total(followed) > 0
    assert used == billing.SessionUsage().plus(ended.use)
    assert usage.sessions(states, "eu-west-1", "other", NOW) == billing.SessionUsage()
    assert usage.sessions(states, "eu-west-1", "", NOW + timedelta(1)) == billing.SessionUsage()


def test_the_quota_where_the_account_does_not_say_is_what_the_guide_says() -> None:
    assert billing.CODE_QUOTA == 300 * 1024**3
