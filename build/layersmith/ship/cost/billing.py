"""Quantities and prices -> what it costs, and whether that passes a threshold. Pure but for files.

Prices are data with a date and their sources (prices.json), on demand; any of them can be
overridden.

What sessions use is read from the histories of their executions. ``session run`` and ``cost
--sessions`` both use ``of_execution`` and ``session_lines``: one session has one bill, wherever it
is asked for. Fargate Spot costs about a third of these prices, so the bill is an upper bound.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith.base import damage
from layersmith.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PRICES = Path(__file__).with_name("prices.json")

GB_SECOND = {"arm64": "lambda-arm-gb-second", "x86_64": "lambda-x86-gb-second"}
"""Architecture to the key of what Lambda takes for a GB-second on it."""

GB = 1_000_000_000
"""Bytes of the gigabyte that S3 bills by (AWS: GB-Month in decimal on the bill)."""

CODE_QUOTA = 300 * 1024**3
"""Bytes of functions and layers that a region stores, 300 GB (AWS Lambda developer guide,
configuration-self-managed-storage); the account's own limit is read where GetAccountSettings
answers."""

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
class Prices:
    """A price list.

    Attributes:
        date: Day on which the prices were read, ISO 8601.
        currency: Such as USD.
        table: Key -> price of one unit; the key names the unit.
        overridden: Keys whose price is not the list's own.
    """

    date: str
    currency: str
    table: dict[str, float]
    overridden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Item:
    """One line of the bill.

    Attributes:
        key: Key of the price, ``s3-storage-gb-month``.
        place: Region, runner or state machine.
        quantity: In the unit of the key.
        cost: In the currency of the prices, for a month.
    """

    key: str
    place: str
    quantity: float
    cost: float


def load(override: Path | None = None) -> Prices:
    """Read the price list, with single prices replaced by those of another file.

    Args:
        override: JSON of the same form, or only ``{"key": price}``.

    Raises:
        ConfigError: It cannot be read, or names a price that is not known.
    """
    own = json.loads(PRICES.read_text(encoding="utf-8"))
    table = {key: float(entry["price"]) for key, entry in own["prices"].items()}
    if override is None:
        return Prices(own["date"], own["currency"], table)
    given = _given(override)
    unknown = sorted(set(given) - set(table))
    if unknown:
        raise ConfigError(
            f"{override} has unknown prices: {', '.join(unknown)}",
            hint=f"known: {', '.join(sorted(table))}",
        )
    return Prices(own["date"], own["currency"], table | given, tuple(sorted(given)))


def _given(path: Path) -> dict[str, float]:
    with damage.told(path.name, ConfigError, kind="price list"):
        document = json.loads(path.read_text(encoding="utf-8"))
        entries: dict[str, Any] = document.get("prices", document)
        return {
            key: float(entry["price"] if isinstance(entry, dict) else entry)
            for key, entry in entries.items()
        }


def item(prices: Prices, key: str, place: str, quantity: float) -> Item:
    """Return one line of the bill."""
    return Item(key, place, quantity, quantity * prices.table[key])


def total(items: list[Item]) -> float:
    """Return the sum of a bill, in the currency of the prices."""
    return sum(one.cost for one in items)


@dataclass(frozen=True)
class Thresholds:
    """Where a run warns or fails; None sets none.

    Attributes:
        warn: Money a month.
        fail: Money a month.
        quota_warn: Share of a region's code storage quota, 0 to 1.
        quota_fail: The same.
    """

    warn: float | None = None
    fail: float | None = None
    quota_warn: float = 0.7
    quota_fail: float = 0.95


@dataclass(frozen=True)
class Alarm:
    """A threshold that is passed.

    Attributes:
        fails: Whether the run fails; otherwise it warns.
        text: What passed which threshold.
    """

    fails: bool
    text: str


def alarms(money: float, stored: dict[str, float], limits: Thresholds, unit: str) -> list[Alarm]:
    """Return the thresholds that are passed.

    Args:
        money: The month's total.
        stored: Region -> share of its code storage quota that is used.
        limits: The thresholds.
        unit: The currency.
    """
    found: list[Alarm] = []
    if limits.fail is not None and money > limits.fail:
        found.append(Alarm(True, f"{money:.2f} {unit} per month is over {limits.fail:.2f}"))
    elif limits.warn is not None and money > limits.warn:
        found.append(Alarm(False, f"{money:.2f} {unit} per month is over {limits.warn:.2f}"))
    for region, share in sorted(stored.items()):
        fails = share > limits.quota_fail
        if fails or share > limits.quota_warn:
            limit = limits.quota_fail if fails else limits.quota_warn
            text = f"{region}: {share:.0%} of the code storage quota is used, over {limit:.0%}"
            found.append(Alarm(fails, text))
    return found


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


def session_lines(used: SessionUsage) -> list[tuple[str, str, float]]:
    """Return the lines of the bill as price, place and quantity."""
    return [
        ("fargate-arm-vcpu-hour", "server", used.vcpu_hours),
        ("fargate-arm-gb-hour", "server", used.gb_hours),
        ("lambda-arm-gb-second", "functions", used.function_gb_seconds),
        ("lambda-request-1000", "functions", used.invocations / 1000),
        ("stepfunctions-transition-1000", "state machine", used.transitions / 1000),
    ]


def session_items(use: Use, prices: Prices) -> list[Item]:
    """Return the bill of a session, a line a price."""
    return [item(prices, *line) for line in session_lines(SessionUsage().plus(use))]


def month_of_task(use: Use, prices: Prices) -> float:
    """Return what the same task costs a month when it never stops."""
    hourly = (
        use.vcpu * prices.table["fargate-arm-vcpu-hour"]
        + use.gb * prices.table["fargate-arm-gb-hour"]
    )
    return hourly * HOURS_A_MONTH
