"""Tables about stacks, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from layersmith import console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layersmith.stacks.changesets import Proposal, ResourceChange
    from layersmith.stacks.deploy import StackOutcome
    from layersmith.stacks.destroy import Kept
    from layersmith.stacks.drift import Drift

_STYLES = {"Add": "green", "Modify": "yellow", "Remove": "red"}


def proposal(name: str, proposed: Proposal) -> None:
    """Show what a change set would do."""
    if proposed.empty:
        console.info(f"{name}: nothing to change")
        return
    title = f"{name}: {'new stack' if proposed.creates else 'changes'} {proposed.stack}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("action", "resource", "type", "replaced"):
        table.add_column(column)
    for change in proposed.changes:
        table.add_row(
            f"[{_style(change)}]{change.action}[/]",
            change.logical_id,
            change.type,
            "" if change.replacement in {"", "False"} else change.replacement.lower(),
        )
    console.stderr().print(table)
    lost = [change.logical_id for change in proposed.changes if change.loses]
    if lost:
        console.warn(f"{name} removes or replaces {', '.join(lost)}")


def outcomes(done: Sequence[StackOutcome]) -> None:
    """Show what became of each stack, and its outputs."""
    table = Table(box=None, pad_edge=False)
    for column in ("stack", "result", "output", "value"):
        table.add_column(column, overflow="fold")
    for outcome in done:
        rows = sorted(outcome.outputs.items()) or [("", "")]
        for number, (key, value) in enumerate(rows):
            first = number == 0
            table.add_row(
                outcome.stack if first else "", outcome.result if first else "", key, value
            )
    console.stdout().print(table)


def drifts(found: Mapping[str, Sequence[Drift]]) -> None:
    """Show what differs from the templates."""
    table = Table(box=None, pad_edge=False)
    for column in ("stack", "resource", "type", "state", "differs in"):
        table.add_column(column, overflow="fold")
    for stack, listed in found.items():
        for one in listed:
            table.add_row(stack, one.logical_id, one.type, one.status, ", ".join(one.properties))
    console.stdout().print(table)


def kept(listed: Sequence[Kept], title: str) -> None:
    """Show resources that hold data."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("stack", "type", "name"):
        table.add_column(column, overflow="fold")
    for one in listed:
        table.add_row(one.stack, one.type, one.id)
    console.stderr().print(table)


def _style(change: ResourceChange) -> str:
    return "red" if change.loses else _STYLES.get(change.action, "default")
