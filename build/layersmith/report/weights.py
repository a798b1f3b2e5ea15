"""Shows what `weigh` found: verdict, distributions with bars, the dependency tree, advice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith import console
from layersmith.console import counted, megabytes, size
from layersmith.report.bars import bar, is_ascii

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.tree import Tree

    from layersmith.weigh.models import Advice, DistributionWeight, Limit, Verdict, Weighing

TOP = 15
"""Distributions that the table shows."""

NAMED = 5
"""Requirements that the heading names."""

STYLES = {"fits": "bold green", "fits with excludes": "bold yellow", "does not fit": "bold red"}
HEADINGS = ("distribution", "own", "retained", "zip", "size", "pulled by")
NUMBERS = ("own", "retained", "zip")
DROPPED = ("size", "zip")
"""Columns below which the table has less to show."""


def show(weighing: Weighing, *, top: int = TOP, depth: int = 3, tree: bool = True) -> None:
    """Print what was found on stdout.

    Args:
        weighing: What was found.
        top: Distributions in the table; 0 for all.
        depth: Levels of the dependency tree below what was asked for.
        tree: Whether to show the tree at all.
    """
    out = console.stdout()
    _head(weighing, out)
    _limits(weighing.verdict, out)
    out.print(_table(weighing, out, top))
    rest = weighing.distributions[top:] if top else []
    if rest:
        out.print(
            f"and {len(rest)} more with {megabytes(sum(one.unzipped for one in rest))} (--all)"
        )
    if tree:
        # A branch of rich takes four columns; half of the width is left for what it says.
        for grown in _forest(weighing, min(depth, max(1, out.width // 8))):
            out.print(grown)
        out.print()
    _advice(weighing, out)
    for note in weighing.notes:
        out.print(f"note: {note}", markup=False)
    out.print(traffic_text(weighing), markup=False, style="dim")


def traffic_text(weighing: Weighing) -> str:
    """Say what was transferred to find this out."""
    traffic = weighing.traffic
    wheels = f"all wheels together are {size(traffic.artifacts)}"
    if not traffic.requests:
        return f"nothing was downloaded: every directory was known; {wheels}"
    text = f"read {size(traffic.received)} in {counted(traffic.requests, 'request')}; {wheels}"
    if traffic.whole:
        text += f"; downloaded whole: {', '.join(traffic.whole)}"
    return text


def _head(weighing: Weighing, out: Console) -> None:
    from rich.text import Text  # noqa: PLC0415 -- start-up time

    named, rest = weighing.requirements[:NAMED], len(weighing.requirements) - NAMED
    asked = ", ".join(named) + (f" and {rest} more" if rest > 0 else "") or weighing.identifier
    out.print(f"{asked} on {weighing.runtime} {weighing.architecture}", style="bold", markup=False)
    word = weighing.verdict.word
    out.print(Text.assemble((word, STYLES[word]), f": {weighing.verdict.text}"))
    rows = [("as installed", weighing.installed, 0)]
    rows.append(("as a layer", weighing.layer, weighing.bytecode))
    if weighing.with_recipes:
        rows.append(("with `recipes: all`", weighing.with_recipes, 0))
    for name, total, compiled in rows:
        more = f" and about {megabytes(compiled)} of bytecode" if compiled > 0 else ""
        out.print(
            f"{name}: {megabytes(total.unzipped)}{more}, zip {megabytes(total.zipped)},"
            f" {counted(total.files, 'file')}, {counted(total.distributions, 'distribution')}",
            markup=False,
        )


def _limits(verdict: Verdict, out: Console) -> None:
    from rich.table import Table  # noqa: PLC0415 -- start-up time

    table = Table.grid(padding=(0, 2))
    for limit in verdict.limits:
        table.add_row(*_limit(limit, out))
    out.print()
    out.print(table)


def _limit(limit: Limit, out: Console) -> tuple[str, ...]:
    over = limit.margin < 0
    colour = "red" if over and limit.hard else "yellow" if over else "green"
    drawn = bar(limit.value / limit.limit, 16, ascii_only=is_ascii(out))
    left = f"{megabytes(abs(limit.margin))} {'over' if over else 'left'}"
    note = f" ({limit.note})" if over and limit.note else ""
    return (
        limit.name,
        f"[{colour}]{drawn}[/]",
        f"{megabytes(limit.value)} of {megabytes(limit.limit)}",
        left + note,
    )


def _table(weighing: Weighing, out: Console, top: int) -> RenderableType:
    shown = weighing.distributions[: top or None]
    most = max((one.unzipped for one in shown), default=1)
    rows = [_row(one, most, out) for one in shown]
    styles = ["dim" if one.left_out else None for one in shown]
    return console.table(HEADINGS, rows, right=NUMBERS, drop=DROPPED, styles=styles)


def _row(one: DistributionWeight, most: int, out: Console) -> list[str]:
    why = " (left out)" if one.left_out else ""
    return [
        f"{one.name} {one.version}",
        size(one.unzipped),
        size(one.retained),
        size(one.zipped),
        bar(one.unzipped / max(most, 1), 12, ascii_only=is_ascii(out)),
        (" <- ".join(reversed(one.chain[:-1])) or "asked for") + why,
    ]


def _forest(weighing: Weighing, depth: int) -> list[Tree]:
    """Return the dependency trees; what was shown before is named and not repeated."""
    from rich.tree import Tree  # noqa: PLC0415 -- start-up time

    known = {one.name: one for one in weighing.distributions}
    roots = [one for one in weighing.distributions if len(one.chain) == 1]
    seen: set[str] = {one.name for one in roots}
    grown = []
    for root in roots:
        trunk = Tree(_label(root), guide_style="dim")
        grown.append(trunk)
        level = [(trunk, root)]
        for _ in range(depth):
            level = [branch for node, one in level for branch in _grow(node, one, known, seen)]
        for node, one in level:
            _elide(node, one, known, seen)
    return grown


def _grow(
    node: Tree, one: DistributionWeight, known: dict[str, DistributionWeight], seen: set[str]
) -> list[tuple[Tree, DistributionWeight]]:
    below = sorted((known[name] for name in one.requires), key=lambda d: (-d.retained, d.name))
    again = [child.name for child in below if child.name in seen]
    grown = []
    for child in below:
        if child.name not in seen:
            seen.add(child.name)
            grown.append((node.add(_label(child)), child))
    if again and grown:
        node.add(f"[dim]and, shown elsewhere: {', '.join(sorted(again))}[/]")
    return grown


def _elide(
    node: Tree, one: DistributionWeight, known: dict[str, DistributionWeight], seen: set[str]
) -> None:
    hidden = [name for name in one.requires if name not in seen]
    if hidden:
        more = sum(known[name].retained for name in hidden)
        node.add(f"[dim]{', '.join(hidden)}: {size(more)} (--depth)[/]")


def _label(one: DistributionWeight) -> str:
    text = f"{one.name} [dim]{one.version}[/] {size(one.unzipped)}"
    if one.retained > one.unzipped:
        text += f" [dim]retains[/] {size(one.retained)}"
    return text + (f" [yellow]left out: {one.left_out}[/]" if one.left_out else "")


def _advice(weighing: Weighing, out: Console) -> None:
    rows = [_advised(one) for one in weighing.advice if not _is_runtimes(one)]
    if rows:
        headings = ("saves", "what", "how")
        title = "what would make it smaller"
        out.print(console.table(headings, rows, right=("saves",), title=title))
    if provided := [one for one in weighing.advice if _is_runtimes(one)]:
        out.print(
            f"left to the runtime: {', '.join(one.subject for one in provided)},"
            f" {size(sum(one.unzipped for one in provided))} (`keep-provided` puts them in)",
            markup=False,
        )


def _is_runtimes(one: Advice) -> bool:
    """Whether it says what a build does by itself: leave to the runtime what the runtime has."""
    return one.done and one.kind == "provided"


def _advised(one: Advice) -> tuple[str, str, str]:
    about = "about " if one.estimate else ""
    saved = f"{about}-{size(one.unzipped)}" if one.unzipped else ""
    dated = f" ({one.source}, {one.date})" if one.source else ""
    done = "done: " if one.done else ""
    return saved, f"{one.kind}: {one.subject}", f"{done}{one.text}{dated}"
