"""What one session costs, from the history of its execution; pure.

Prices are those of ``prices.json``, on demand. Fargate Spot costs about a third of them, so the
bill is an upper bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from layersmith.ship.cost import billing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from layersmith.ship.cost.billing import Item, Prices

FUNCTION_GB = 0.5
"""Memory of the session's functions (MemorySize in functions.yaml, 512 MB)."""

MINIMUM_SECONDS = 60.0
"""Fargate bills at least one minute of a task (AWS Fargate pricing)."""

HOURS_A_MONTH = 730.0
"""365.25 days by 24 hours by 12 months, as AWS's calculator rounds it."""

CPU_UNITS = 1024.0
MIB = 1024.0


@dataclass(frozen=True)
class Use:
    """What an execution used.

    Attributes:
        transitions: States entered.
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
    transitions = invocations = 0
    seconds = 0.0
    started: dict[int, datetime] = {}
    for event in events:
        transitions += str(event["type"]).endswith("StateEntered")
        detail = event.get("taskStartedEventDetails", {})
        if detail.get("resourceType") == "lambda":
            started[event["id"]] = event["timestamp"]
            invocations += 1
        begun = started.pop(event.get("previousEventId", 0), None)
        if begun is not None:
            seconds += (event["timestamp"] - begun).total_seconds()
    return Use(
        transitions=transitions,
        task_seconds=max(task_seconds, MINIMUM_SECONDS) if task else 0.0,
        vcpu=float(task.get("cpu", 0)) / CPU_UNITS,
        gb=float(task.get("memory", 0)) / MIB,
        invocations=invocations,
        function_seconds=seconds,
    )


def items(use: Use, prices: Prices) -> list[Item]:
    """Return the bill of a session, a line a price."""
    hours = use.task_seconds / 3600
    lines = (
        ("fargate-arm-vcpu-hour", "server", use.vcpu * hours),
        ("fargate-arm-gb-hour", "server", use.gb * hours),
        ("lambda-arm-gb-second", "functions", use.function_seconds * FUNCTION_GB),
        ("lambda-request-1000", "functions", use.invocations / 1000),
        ("stepfunctions-transition-1000", "state machine", use.transitions / 1000),
    )
    return [billing.item(prices, key, place, quantity) for key, place, quantity in lines]


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
