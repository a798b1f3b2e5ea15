"""What people see while regions are worked on, and the tables at the end."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table

from layersmith import console
from layersmith.ship.publish.models import Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from layersmith.ship.publish.models import Action, Desired, Quarantined, RegionFinding

WAITING = "[dim]·[/]"
LEFT_OUT = "left out"
"""Said of a target whose region failed."""

NARROW = 6
"""Targets up to which a column says in words what is done; beyond, a sign has to do."""


class ProgressTable:
    """A table of regions and targets that is redrawn while the work goes on.

    Args:
        desired: The artifacts; each is a column.
        regions: The regions; each is a row.
    """

    def __init__(self, desired: Sequence[Desired], regions: Sequence[str]) -> None:
        self._targets = [want.identifier for want in desired]
        self._regions = list(regions)
        self._cells: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        self._live: Live | None = None

    def say(self, region: str, target: str, what: str) -> None:
        """Show what is done in one region for one target; callable from any thread."""
        with self._lock:
            self._cells[region, target] = what
            live = self._live
        if live is None and not what.endswith("…"):
            console.info(f"{region:<15} {target or 'region'}: {what}")

    def __rich__(self) -> Table:
        """Draw the table."""
        words = len(self._targets) <= NARROW
        table = Table(title="publishing", title_justify="left", box=None, pad_edge=False)
        table.add_column("region", no_wrap=True)
        for number, target in enumerate(self._targets, start=1):
            table.add_column(target if words else str(number), no_wrap=True)
        with self._lock:
            cells = dict(self._cells)
        for region in self._regions:
            row = [_cell(cells.get((region, target)), words=words) for target in self._targets]
            table.add_row(region, *row)
        return table

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Redraw on stderr while the block runs; where that is not a terminal, print lines."""
        if not console.stderr().is_terminal:
            yield
            return
        with Live(self, console=console.stderr(), refresh_per_second=4) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None


def _cell(what: str | None, *, words: bool) -> str:
    if what is None:
        return WAITING
    if what == LEFT_OUT:
        return f"[red]{what if words else '✗'}[/]"
    if what.startswith("point"):
        return f"[green]{what if words else '✓'}[/]"
    return what if words else "[yellow]▸[/]"


def actions_table(actions: Sequence[Action], width: int) -> RenderableType:
    """Return a plan as a table of ``width`` columns, one row for every target in a region."""
    grouped: dict[tuple[str, str], list[Action]] = {}
    for action in actions:
        grouped.setdefault((action.region, action.target), []).append(action)
    rows = []
    for (region, target), steps in grouped.items():
        number = next((str(s.number) for s in steps if s.step is Step.PUBLISH), "")
        rows.append((region, target, number, " · ".join(map(_in_words, steps))))
    return console.table(
        ("region", "target", "number", "steps"), rows, right=("number",), width=width
    )


def _in_words(action: Action) -> str:
    match action.step:
        case Step.FILL | Step.UNFILL | Step.PUBLISH | Step.GRANT | Step.REVOKE | Step.POINT:
            return f"{action.step} {action.detail}"
        case Step.PROMOTE:
            return action.detail
        case _:
            return str(action.step)


def findings_table(findings: Sequence[RegionFinding]) -> RenderableType:
    """Return what differs as a table for stderr, one row a finding."""
    headings = ("region", "target", "what", "expected", "found", "next")
    rows = [
        (one.region, one.target, one.field, one.expected, one.found, one.hint) for one in findings
    ]
    return console.table(headings, rows, title="drift", width=console.stderr().width)


def quarantine_table(regions: Sequence[Quarantined]) -> RenderableType:
    """Return the regions that were left out, with the reason, as a table for stderr."""
    rows = [(one.region, one.reason, one.hint) for one in regions]
    return console.table(
        ("region", "why", "next"), rows, title="regions left out", width=console.stderr().width
    )


def show(findings: Sequence[RegionFinding], quarantined: Sequence[Quarantined]) -> None:
    """Print the tables of what is not in order, on stderr."""
    if findings:
        console.stderr().print(findings_table(findings))
    if quarantined:
        console.stderr().print(quarantine_table(quarantined))


def published(
    desired: Sequence[Desired],
    done: Sequence[Action],
    findings: Sequence[RegionFinding],
    quarantined: Sequence[Quarantined],
    where: str,
    *,
    ended: str = "",
) -> str:
    """Return what an apply did in GitHub's Markdown, for the step summary.

    Args:
        desired: The artifacts.
        done: Steps that were done.
        findings: What could not be brought into order.
        quarantined: Regions that failed and were left out.
        where: The accounts.
        ended: Why the run ended before it was through; empty where it was not.
    """
    lines = [f"### Layers published to {where}", ""]
    if ended:
        lines += [f"**The run ended before it was through:** {ended}", ""]
    lines += ["| target | version | regions | published now | not in order |"]
    lines += ["|---|---|--:|--:|--:|"]
    for want in desired:
        name = want.identifier
        new = sum(one.step is Step.PUBLISH and one.target == name for one in done)
        wrong = {one.region for one in findings if one.target == name}
        wrong |= {one.region for one in quarantined} & {*want.regions}
        lines.append(_row(name, want.version, str(len(want.regions)), str(new), str(len(wrong))))
    return "\n".join([*lines, "", *_tables(findings, quarantined), ""])


def markdown(findings: Sequence[RegionFinding], quarantined: Sequence[Quarantined]) -> str:
    """Return both tables in GitHub's Markdown, for the step summary and an issue."""
    lines = ["## Drift of published layers", ""]
    if not findings and not quarantined:
        return "\n".join([*lines, "Every region holds what was built.", ""])
    lines += _tables(findings, quarantined)
    return "\n".join([*lines, ""])


def _tables(findings: Sequence[RegionFinding], quarantined: Sequence[Quarantined]) -> list[str]:
    lines = []
    if findings:
        lines += ["| region | target | what | expected | found | next |", "|" + "---|" * 6]
        lines += [
            _row(one.region, one.target, one.field, one.expected, one.found, one.hint)
            for one in findings
        ]
    if quarantined:
        lines += ["", "| region left out | why | next |", "|" + "---|" * 3]
        lines += [_row(one.region, one.reason, one.hint) for one in quarantined]
    return lines


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
