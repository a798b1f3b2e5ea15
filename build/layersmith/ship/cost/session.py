"""What sessions cost, from the histories of their executions; pure.

``session run`` and ``cost --sessions`` both use ``of_execution`` and ``lines``: one session has one
bill, wherever it is asked for.

Prices are those of ``prices.json``, on demand. Fargate Spot costs about a third of them, so the
bill is an upper bound.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from layersmith.ship.cost import billing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from layersmith.ship.cost.billing import Item, Prices

FUNCTION_GB = 0.5
"""Memory of the session's functions (MemorySize in functions.yaml, 512 MB)."""

MINIMUM_SECONDS = 60.0
"""Fargate bills at least one minute of a task (AWS Fargate pricing)."""

HOURS_A_MONTH = 730.0
"""365.25 days by 24 hours by 12 months, as AWS's calculator rounds it."""

CPU_UNITS = 1024.0
MIB = 1024.0

CHILDREN = "childExecutions"
"""Where ``usage.history`` puts how many executions a Distributed Map started."""

UNKNOWN_TASK = {"cpu": 1 * CPU_UNITS, "memory": 2 * MIB}
"""What a Fargate task is counted with if ECS's answer does not say how large it is."""


@dataclass(frozen=True)
class Use:
    """What an execution used.

    Attributes:
        transitions: State transitions, see :func:`transitions`.
        task_seconds: From the start of the server task to its end.
        vcpu: Of the task.
        gb: Memory of the task.
        invocations: Of functions.
        function_seconds: Between the start and the end of the invocations, as Step Functions saw
            them: an upper bound of what Lambda bills.
    """

    transitions: int
    task_seconds: float
    vcpu: float
    gb: float
    invocations: int
    function_seconds: float


def measure(
    events: Iterable[Mapping[str, Any]], task: Mapping[str, Any], task_seconds: float
) -> Use:
    """Return what an execution used.

    Args:
        events: Its history, oldest first, with times.
        task: ``cpu`` (units) and ``memory`` (MiB) of its server task; empty where none started.
        task_seconds: How long the task ran.
    """
    events = list(events)
    invocations = 0
    seconds = 0.0
    started: dict[int, datetime] = {}
    for event in events:
        detail = event.get("taskStartedEventDetails", {})
        if detail.get("resourceType") == "lambda":
            started[event["id"]] = event["timestamp"]
            invocations += 1
        begun = started.pop(event.get("previousEventId", 0), None)
        if begun is not None:
            seconds += (event["timestamp"] - begun).total_seconds()
    return Use(
        transitions=transitions(events),
        task_seconds=max(task_seconds, MINIMUM_SECONDS) if task else 0.0,
        vcpu=float(task.get("cpu", 0)) / CPU_UNITS,
        gb=float(task.get("memory", 0)) / MIB,
        invocations=invocations,
        function_seconds=seconds,
    )


def transitions(events: Iterable[Mapping[str, Any]]) -> int:
    """Return the state transitions that AWS bills of an execution.

    One for each time that a step is executed, retries included (AWS Step Functions pricing). A
    retry enters no state: its call is scheduled again after the one that failed. A Distributed Map
    costs one for each execution that it starts (Step Functions developer guide, transitions); what
    these cost themselves, as Express workflows, is not counted: 0.000002 USD or so each.

    Args:
        events: Its history as ``usage.history`` reads it, oldest first.
    """
    failed: set[int] = set()
    count = 0
    for event in events:
        kind = str(event["type"])
        if kind.startswith("Task") and kind.endswith(("Failed", "TimedOut")):
            failed.add(event["id"])
        retried = kind == "TaskScheduled" and event.get("previousEventId") in failed
        count += kind.endswith("StateEntered") or retried
        count += event.get("mapRunStartedEventDetails", {}).get(CHILDREN, 0)
    return count


@dataclass(frozen=True)
class SessionUsage:
    """What executions used together, in the units that are billed.

    Attributes:
        executions: How many ran.
        transitions: State transitions.
        vcpu_hours: Of Fargate tasks.
        gb_hours: Of Fargate tasks.
        invocations: Of functions.
        function_gb_seconds: Of functions.
    """

    executions: int = 0
    transitions: int = 0
    vcpu_hours: float = 0.0
    gb_hours: float = 0.0
    invocations: int = 0
    function_gb_seconds: float = 0.0

    def plus(self, use: Use) -> SessionUsage:
        """Return the usage with one more execution."""
        hours = use.task_seconds / 3600
        return SessionUsage(
            self.executions + 1,
            self.transitions + use.transitions,
            self.vcpu_hours + use.vcpu * hours,
            self.gb_hours + use.gb * hours,
            self.invocations + use.invocations,
            self.function_gb_seconds + use.function_seconds * FUNCTION_GB,
        )


def of_execution(
    events: Sequence[Mapping[str, Any]],
    *,
    output: Mapping[str, Any] | None = None,
    end: datetime | None = None,
) -> Use:
    """Return what an execution used, from its history.

    A session reports when ECS made its server task and when it stopped. Where it did not come to
    that, the task is counted from its submission to its end, an upper bound: a task that
    Step Functions waits for (``runTask.sync``) ends with its state, a server that called back goes
    on until the execution is over.

    Args:
        events: Events of GetExecutionHistory, oldest first.
        output: What the execution gave; None is read from the history.
        end: When it ended; None is the time of the last event.
    """
    task = (_output(events) if output is None else output).get("task") or {}
    if task.get("createdAt") and task.get("stoppedAt"):
        first, last = (datetime.fromisoformat(task[key]) for key in ("createdAt", "stoppedAt"))
        return measure(events, task, (last - first).total_seconds())
    for number, event in enumerate(events):
        detail = event.get("taskSubmittedEventDetails", {})
        if detail.get("resourceType") != "ecs" or "runTask" not in detail.get("resource", ""):
            continue
        submitted = task or _submitted(detail.get("output"))
        if submitted:
            last = end or events[-1]["timestamp"]
            if detail["resource"].endswith(".sync"):
                last = _after(events[number:]) or last
            return measure(events, submitted, (last - event["timestamp"]).total_seconds())
    return measure(events, {}, 0.0)


def _output(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return what the execution gave, as the last event of its history says; else nothing."""
    details = events[-1].get("executionSucceededEventDetails", {}) if events else {}
    try:
        found = json.loads(details.get("output") or "{}")
    except ValueError:
        # Step Functions cuts what is too long.
        return {}
    return found if isinstance(found, dict) else {}


def _submitted(output: str | None) -> dict[str, Any]:
    """Return cpu and memory of the task as ECS answered to RunTask; nothing if none was started."""
    try:
        tasks = json.loads(output or "")["Tasks"]
        return {"cpu": tasks[0]["Cpu"], "memory": tasks[0]["Memory"]} if tasks else {}
    except (ValueError, KeyError, TypeError):
        return dict(UNKNOWN_TASK)


def _after(events: Sequence[Mapping[str, Any]]) -> datetime | None:
    """Return when the first event's state went on: the time of the event that follows from it."""
    for event in events[1:]:
        if event.get("previousEventId") == events[0]["id"]:
            found: datetime = event["timestamp"]
            return found
    return None


def lines(used: SessionUsage) -> list[tuple[str, str, float]]:
    """Return the lines of the bill as price, place and quantity."""
    return [
        ("fargate-arm-vcpu-hour", "server", used.vcpu_hours),
        ("fargate-arm-gb-hour", "server", used.gb_hours),
        ("lambda-arm-gb-second", "functions", used.function_gb_seconds),
        ("lambda-request-1000", "functions", used.invocations / 1000),
        ("stepfunctions-transition-1000", "state machine", used.transitions / 1000),
    ]


def items(use: Use, prices: Prices) -> list[Item]:
    """Return the bill of a session, a line a price."""
    return [billing.item(prices, *line) for line in lines(SessionUsage().plus(use))]


def month_of_task(use: Use, prices: Prices) -> float:
    """Return what the same task costs a month when it never stops."""
    hourly = (
        use.vcpu * prices.table["fargate-arm-vcpu-hour"]
        + use.gb * prices.table["fargate-arm-gb-hour"]
    )
    return hourly * HOURS_A_MONTH


def month_of_instance(prices: Prices) -> float:
    """Return what an EC2 instance of 2 vCPU and 4 GB costs a month when it never stops."""
    return prices.table["ec2-t4g-medium-hour"] * HOURS_A_MONTH
