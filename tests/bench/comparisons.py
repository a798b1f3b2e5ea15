"""Rows of the benchmarks: one thing that layersmith does beside a peer or a floor, as a ratio.

Both are processes of their own and run in turns, so that a busy machine slows both. A row says
ours / other for wall-clock time and for processor time (user + sys of all processes), and which
ratio is wanted. `nox -s bench` adds the rows of a run to history.jsonl, draws the newest ones into
docs/benchmarks.md and says which ratios are worse than before.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).parents[2]
HISTORY = Path(__file__).with_name("history.jsonl")

WORSE = 1.25
"""A ratio above the median of earlier runs by this factor is a regression."""

COMPARED = 5
"""Earlier runs that a row is compared with."""


@dataclass(frozen=True)
class Row:
    """One comparison of one run.

    Attributes:
        name: What layersmith did.
        other: What stands beside it.
        wanted: The ratio that is wanted, at most.
        ratio: Seconds of layersmith for each second of the other, medians of wall-clock time.
        cpu: The same for processor time; None where it says nothing, as of memory.
        ours: Median of layersmith, seconds (or what ``unit`` says).
        theirs: Median of the other, in the same unit.
        unit: ``s``, or another unit.
        rounds: Runs of each.
        date: When it was measured.
        commit: Of the checkout, shortened.
        machine: On what.
    """

    name: str
    other: str
    wanted: float
    ratio: float
    cpu: float | None
    ours: float
    theirs: float
    unit: str
    rounds: int
    date: str
    commit: str
    machine: str


measured: list[Row] = []
"""The rows of this run."""


def clock(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that work takes, and those of processor that its processes take."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(
    benchmark: BenchmarkFixture,
    name: str,
    ours: Callable[[], object],
    *others: tuple[str, Callable[[], object], float],
    before: Callable[[], object] | None = None,
    rounds: int = 5,
) -> list[Row]:
    """Measure in turns and note a row for each of the others.

    Args:
        benchmark: The fixture, which times ours.
        name: What ours is.
        ours: Runs layersmith.
        others: What it is compared with: a name, what runs it, and the ratio that is wanted.
        before: Prepares ours, outside of its time.
        rounds: Runs of each.
    """
    theirs: list[list[tuple[float, float]]] = [[] for _ in others]
    mine: list[tuple[float, float]] = []

    def prepare() -> None:
        for seconds, (_, run, _) in zip(theirs, others, strict=True):
            seconds.append(clock(run))
        if before:
            before()

    benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: mine.append(clock(ours)), setup=prepare, rounds=rounds
    )
    rows = []
    for (other, _, wanted), seconds in zip(others, theirs, strict=True):
        walls = [statistics.median(wall for wall, _ in one) for one in (mine, seconds)]
        cpus = [statistics.median(cpu for _, cpu in one) for one in (mine, seconds)]
        cpu = cpus[0] / cpus[1] if cpus[1] else None
        rows.append(note(name, other, *walls, wanted=wanted, cpu=cpu, rounds=rounds))
        benchmark.extra_info[other] = {"ratio": rows[-1].ratio, "wanted": wanted, "cpu": cpu}
    return rows


def note(
    name: str,
    other: str,
    ours: float,
    theirs: float,
    *,
    wanted: float,
    cpu: float | None = None,
    unit: str = "s",
    rounds: int = 1,
) -> Row:
    """Add a row to those of this run; see `Row`."""
    words = ("git", "rev-parse", "--short", "HEAD")
    commit = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    row = Row(
        *(name, other, round(wanted, 4), round(ours / theirs, 4)),
        None if cpu is None else round(cpu, 4),
        *(round(ours, 4), round(theirs, 4), unit, rounds),
        datetime.now(UTC).strftime("%Y-%m-%d"),
        commit.stdout.strip(),
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    )
    measured.append(row)
    return row


def history() -> list[Row]:
    """Return the rows of earlier runs, the oldest first; a line that is none is passed over."""
    found = []
    for line in HISTORY.read_text("utf-8").splitlines() if HISTORY.exists() else ():
        try:
            found.append(Row(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def worse(now: Iterable[Row], earlier: Iterable[Row]) -> list[str]:
    """Say which ratios of a run are worse than those of earlier runs.

    Of processor time where it is known: other work on the machine changes it least.
    """
    known: dict[tuple[str, str], list[float]] = {}
    for row in earlier:
        known.setdefault((row.name, row.other), []).append(row.cpu or row.ratio)
    said = []
    for row in now:
        before = known.get((row.name, row.other), [])[-COMPARED:]
        value = row.cpu or row.ratio
        if before and value > WORSE * (usual := statistics.median(before)):
            said.append(
                f"{row.name}: {value:.3g} of {row.other}, {value / usual:.2f} times the median of"
                f" {len(before)} earlier runs ({usual:.3g})"
            )
    return said


def record(rows: Iterable[Row]) -> None:
    """Add rows to the history."""
    with HISTORY.open("a", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(asdict(row)) + "\n")


def table() -> str:
    """Return the newest row of each comparison as a table, for docs/benchmarks.md."""
    newest = {(row.name, row.other): row for row in history()}
    lines = [
        "| layersmith | beside | ratio | of processor time | wanted at most | measured |",
        "|---|---|--:|--:|--:|---|",
    ]
    for row in newest.values():
        cells = (
            f"{row.name}: {row.ours:.3g} {row.unit}",
            f"{row.other}: {row.theirs:.3g} {row.unit}",
            f"{row.ratio:.3g}",
            "" if row.cpu is None else f"{row.cpu:.3g}",
            f"{row.wanted:.3g}",
            f"{row.date}, {row.commit}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
