"""Cold starts as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith import console
from layersmith.prove.cold import bill

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layersmith.prove.cold.importtime import ImportTree
    from layersmith.prove.cold.models import BytecodeCost, ColdStartReport, Spread, VariantName

WORDS = {
    "measurement": "measured",
    "twin": "measured on the host twin, which is not the built architecture",
    "estimate": "estimated: measured under emulation and divided by the factor below",
}


CHOICES: dict[VariantName, str] = {
    "bytecode-none": "bytecode: none",
    "bytecode-unchecked-hash": "bytecode: unchecked-hash",
    "bytecode-only": "bytecode: only",
    "recipes-none": "without recipes",
    "recipes-all": "recipes: all",
    "slim": "what slim proposes",
    "lazy-imports": "PYTHON_LAZY_IMPORTS=all",
}
"""Choices as they are written in layers.yaml, or in words."""


def show(report: ColdStartReport, tree: ImportTree, rows: int = 10) -> None:
    """Print a report, and the costliest imports, on stdout."""
    title = f"{report.identifier}: {WORDS[report.kind]}; {console.counted(report.starts, 'start')}"
    console.emit_text(title)
    headings = ("ms", "init", "of it import", "first call", "total", "p90", "spread", "MB")
    cells = []
    for variant in report.variants:
        phases = (variant.init, variant.imports, variant.call, variant.total)
        medians = [f"{phase.median / report.factor:,.0f}" for phase in phases]
        spread = _spread(variant.total, report.factor)
        cells.append((variant.name, *medians, *spread, f"{variant.unzipped / 1e6:.1f}"))
    drop = ("MB", "p90", "first call", "of it import")
    console.stdout().print(console.table(headings, cells, right=headings[1:], drop=drop))
    _show_bill(report)
    _show_choices(report)
    for line in _notes(report):
        console.emit_text(line)
    _show_imports(tree, rows)


def markdown(reports: Sequence[ColdStartReport]) -> str:
    """Return for a step summary how layers start beside what was before."""
    lines = ["### Cold starts", ""]
    lines += ["| target | start to first answer | a million | against before, in one run |"]
    lines += ["|---|--:|--:|---|"]
    for one in reports:
        price = f"{one.judged_price:,.2f} {one.currency}" if one.judged_price is not None else ""
        told = "; ".join([*([one.change] if one.change else []), *one.notes])
        lines.append(f"| `{one.identifier}` | {one.judged_ms:,.0f} ms | {price} | {told} |")
    kinds = "; ".join(dict.fromkeys(WORDS[one.kind].partition(":")[0] for one in reports))
    lines += ["", f"Times are {kinds}; prices at {bill.WHOLE:,} MB. A ratio is the median of all"]
    lines[-1] += " rounds, each of which starts both, with the lowest and the highest."
    return "\n".join([*lines, ""])


def _show_bill(report: ColdStartReport) -> None:
    """Print where INIT goes, and what a million cold starts cost."""
    if report.phases:
        console.emit_text(bill.said(report.phases))
    if not report.billed:
        return
    console.emit_text(
        f"a million cold starts, in {report.currency} at the prices of {report.priced}, without"
        f" requests; processor in proportion to memory, one at {bill.WHOLE:,} MB:"
    )
    headings = ("", "MB", "INIT, ms", "first call, ms", report.currency, "p90", "spread")
    cells = [
        (
            one.variant,
            f"{one.memory:,}",
            f"{one.init_ms:,.0f}",
            f"{one.call_ms:,.0f}",
            f"{one.million.median:,.2f}",
            f"{one.million.p90:,.2f}",
            f"{one.million.low:,.2f}-{one.million.high:,.2f}",
        )
        for one in report.billed
        if one.variant in {"layer", "before", "plain"}
    ]
    console.stdout().print(console.table(headings, cells, right=headings[1:], drop=("p90",)))


def _show_choices(report: ColdStartReport) -> None:
    """Print what other choices would save."""
    if not report.choices:
        return
    console.emit_text("what other choices would save, each built and started in this run:")
    headings = ("", "zipped", "unzipped", "saves, ms", "spread", f"{report.currency} a million")
    cells = [
        (
            CHOICES[one.name],
            console.size(one.zipped),
            console.size(one.unzipped),
            f"{one.saved.ms.median:,.1f}",
            f"{one.saved.ms.low:,.1f} to {one.saved.ms.high:,.1f}",
            "" if one.saved.million is None else f"{one.saved.million:,.2f}",
        )
        for one in report.choices
    ]
    console.stdout().print(console.table(headings, cells, right=headings[1:], drop=("spread",)))


def _spread(total: Spread, factor: float) -> tuple[str, str]:
    return f"{total.p90 / factor:,.0f}", f"{total.low / factor:,.0f}-{total.high / factor:,.0f}"


def _notes(report: ColdStartReport) -> list[str]:
    lines = [*report.notes]
    if report.change:
        lines.append(f"{report.change}, in one run")
    if report.calibration:
        known = report.calibration
        lines.append(
            f"factor {known.factor:.1f}: {known.workload} took {known.emulated_ms:,.0f} ms"
            f" emulated and {known.native_ms:,.0f} ms natively"
        )
    lines += [
        f"{one.variant}: estimate {one.estimate_ms:,.0f} ms, its twin natively"
        f" {one.twin_ms:,.0f} ms: off by {one.off_percent:+.0f} %"
        for one in report.comparisons
    ]
    if report.bytecode:
        lines.append(_bytecode(report.bytecode))
    if report.budget_ms:
        verdict = "within" if report.is_soon_enough else "OVER"
        lines.append(
            f"median {report.judged_ms:,.0f} ms is {verdict} the budget of"
            f" {report.budget_ms:,.0f} ms"
        )
    if report.budget_price and report.judged_price is not None:
        verdict = "within" if report.is_cheap_enough else "OVER"
        lines.append(
            f"{report.judged_price:,.2f} {report.currency} at {bill.WHOLE:,} MB is {verdict} the"
            f" budget of {report.budget_price:,.2f}"
        )
    return lines


def _bytecode(cost: BytecodeCost) -> str:
    sizes = f"{console.size(cost.zipped)} of the zip, {console.size(cost.unzipped)} unzipped"
    if cost.gain_ms is None:
        return f"bytecode: {sizes}; its gain was not measured"
    gain = "sooner" if cost.gain_ms >= 0 else "later"
    return f"bytecode: {sizes}; the layer starts {abs(cost.gain_ms):,.0f} ms {gain} than without"


def _show_imports(tree: ImportTree, rows: int) -> None:
    from layersmith.prove.cold import importtime  # noqa: PLC0415 -- start-up time

    console.emit_text(f"imports on {tree.runner}:")
    for name, micros in list(tree.by_distribution.items())[:rows]:
        console.emit_text(f"  {micros / 1000:8.1f} ms  {name}")
    console.emit_text("costliest modules by themselves:")
    for node in importtime.costliest(tree.roots, rows):
        owner = f" ({node.distribution})" if node.distribution else ""
        console.emit_text(f"  {node.self_us / 1000:8.1f} ms  {node.module}{owner}")
