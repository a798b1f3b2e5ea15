"""Tables about stacks, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    rows = [
        (
            change.action,
            change.logical_id,
            change.type,
            "" if change.replacement in {"", "False"} else change.replacement.lower(),
        )
        for change in proposed.changes
    ]
    styles = [_style(change) for change in proposed.changes]
    headings = ("action", "resource", "type", "replaced")
    out = console.stderr()
    out.print(console.table(headings, rows, styles=styles, title=title, width=out.width))
    if proposed.remains:
        console.warn(f"{name} is {proposed.remains}: deploy deletes what is left of it first")
    lost = [change.logical_id for change in proposed.changes if change.loses]
    if lost:
        console.warn(f"{name} removes or replaces {', '.join(lost)}")


def outcomes(done: Sequence[StackOutcome]) -> None:
    """Show what became of each stack, and its outputs."""
    table = []
    for outcome in done:
        rows = sorted(outcome.outputs.items()) or [("", "")]
        for number, (key, value) in enumerate(rows):
            first = number == 0
            table.append(
                (outcome.stack if first else "", outcome.result if first else "", key, value)
            )
    console.stdout().print(console.table(("stack", "result", "output", "value"), table))


def drifts(found: Mapping[str, Sequence[Drift]]) -> None:
    """Show what differs from the templates."""
    rows = [
        (stack, one.logical_id, one.type, one.status, ", ".join(one.properties))
        for stack, listed in found.items()
        for one in listed
    ]
    headings = ("stack", "resource", "type", "state", "differs in")
    console.stdout().print(console.table(headings, rows))


def kept(listed: Sequence[Kept], *, delete_data: bool) -> None:
    """Show resources that hold data, what becomes of them, and who else uses them."""
    rows = [
        (
            one.stack,
            one.type,
            one.id,
            "deleted with its data" if delete_data and not (one.shared or one.users) else "kept",
            ", ".join(one.users),
        )
        for one in listed
    ]
    headings = ("stack", "type", "name", "", "used by")
    out = console.stderr()
    out.print(console.table(headings, rows, title="what holds data", width=out.width))


def _style(change: ResourceChange) -> str:
    return "red" if change.loses else _STYLES.get(change.action.partition(" ")[0], "default")
