"""A session's input, its progress and its bill, from histories in Step Functions' form."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.errors import ConfigError
from layersmith.ship.cost import billing, usage
from layersmith.ship.cost.billing import Prices, total
from layersmith.stacks import sessions

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


HISTORY: list[dict[str, Any]] = [
    {"id": 1, "type": "TaskStateEntered", "timestamp": at(0),
     "stateEnteredEventDetails": {"name": "StartServer"}},
    {"id": 2, "type": "TaskSubmitted", "timestamp": at(1), "taskSubmittedEventDetails": {
        "resourceType": "ecs", "resource": "runTask.waitForTaskToken",
        "output": json.dumps({"Tasks": [{"Cpu": "512", "Memory": "1024"}]})}},
    {"id": 3, "type": "TaskStarted", "previousEventId": 1, "timestamp": at(5),
     "taskStartedEventDetails": {"resourceType": "lambda", "resource": "invoke"}},
    {"id": 4, "type": "TaskSucceeded", "previousEventId": 3, "timestamp": at(7)},
    {"id": 5, "type": "MapIterationSucceeded", "timestamp": at(8)},
]  # fmt: skip


def test_use_counts_states_invocations_and_their_time() -> None:
    use = billing.measure(HISTORY, {"cpu": "1024", "memory": "4096"}, 120.0)
    assert use == billing.Use(1, 120.0, 1.0, 4.0, 1, 2.0)


def test_a_retry_is_a_transition_as_aws_bills_it() -> None:
    events: list[dict[str, Any]] = [
        {"id": 1, "type": "ExecutionStarted"},
        {"id": 2, "type": "TaskStateEntered", "previousEventId": 1},
        {"id": 3, "type": "TaskScheduled", "previousEventId": 2},
        {"id": 4, "type": "TaskStarted", "previousEventId": 3},
        {"id": 5, "type": "TaskFailed", "previousEventId": 4},
        {"id": 6, "type": "TaskScheduled", "previousEventId": 5},
        {"id": 7, "type": "TaskTimedOut", "previousEventId": 6},
        {"id": 8, "type": "TaskScheduled", "previousEventId": 7},
        {"id": 9, "type": "TaskSucceeded", "previousEventId": 8},
        {"id": 10, "type": "TaskStateExited", "previousEventId": 9},
        {"id": 11, "type": "PassStateEntered", "previousEventId": 10},
        {"id": 12, "type": "ExecutionSucceeded", "previousEventId": 11},
    ]
    assert billing.transitions(events) == 4


def test_what_a_distributed_map_starts_is_billed_as_transitions() -> None:
    class Client:
        """Answers with one page of a history, and with what its map run counted."""

        def get_paginator(self, _: str) -> Any:
            return self

        def paginate(self, **_: str) -> list[dict[str, Any]]:
            details = {"mapRunArn": "arn:run"}
            return [
                {"events": [
                    {"id": 1, "type": "MapStateEntered"},
                    {"id": 2, "type": "MapRunStarted", "mapRunStartedEventDetails": details},
                ]}
            ]  # fmt: skip

        def describe_map_run(self, mapRunArn: str) -> dict[str, Any]:  # noqa: N803
            assert mapRunArn == "arn:run"
            return {"executionCounts": {"total": 5}}

    assert billing.transitions(list(usage.history(Client(), "arn:x"))) == 6


def test_fargate_bills_a_minute_at_least_and_nothing_where_no_task_was() -> None:
    assert billing.measure([], {"cpu": "256", "memory": "512"}, 3.0).task_seconds == 60.0
    assert billing.measure([], {}, 3.0).task_seconds == 0.0


def test_the_bill_multiplies_use_by_prices() -> None:
    prices = Prices(
        "2026-01-01",
        "USD",
        {
            "fargate-arm-vcpu-hour": 1.0,
            "fargate-arm-gb-hour": 10.0,
            "lambda-arm-gb-second": 100.0,
            "lambda-request-1000": 1000.0,
            "stepfunctions-transition-1000": 10_000.0,
        },
    )
    use = billing.Use(2, 3600.0, 1.0, 4.0, 1, 2.0)
    assert total(billing.session_items(use, prices)) == pytest.approx(1 + 40 + 100 + 1 + 20)
    assert billing.month_of_task(use, prices) == pytest.approx(41 * 730)


def test_a_failed_session_is_billed_from_its_history() -> None:
    found = {
        "executionArn": "arn:x", "status": "FAILED", "startDate": START, "stopDate": at(100),
        "error": "SessionFailed", "cause": "why",
    }  # fmt: skip
    ended = sessions._ended(found, HISTORY)
    assert (ended.use.vcpu, ended.use.gb, ended.use.task_seconds) == (0.5, 1.0, 99.0)
    assert (ended.seconds, ended.error) == (100.0, "SessionFailed")


def test_progress_is_told_state_by_state_and_item_by_item() -> None:
    told: list[str] = []
    watch = sessions.Watch(state=told.append, item=lambda: told.append("item"))
    for event in HISTORY:
        sessions._tell(event, watch)
    assert told == ["StartServer", "item"]


def test_an_input_file_is_an_array_or_an_object(tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    item = {"function": "vector_search", "event": {}}
    path.write_text(json.dumps([item]), "utf-8")
    assert sessions.read_input(path, "db") == {"items": [item], "database": "db"}
    path.write_text(json.dumps({"source": {"bucket": "b", "key": "k"}, "idleSeconds": 9}), "utf-8")
    assert sessions.read_input(path, "db")["idleSeconds"] == 9


@pytest.mark.parametrize(
    "content",
    [
        "{", "{}", '"text"', '{"items": [], "source": {}}', json.dumps([{}] * 201),
        json.dumps([{"function": "x" * 200_000}]),
    ],
)  # fmt: skip
def test_a_wrong_input_file_says_so_before_anything_starts(tmp_path: Path, content: str) -> None:
    path = tmp_path / "events.json"
    path.write_text(content, "utf-8")
    with pytest.raises(ConfigError, match=r"events\.json"):
        sessions.read_input(path, "db")
