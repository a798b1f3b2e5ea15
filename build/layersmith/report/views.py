"""What the page says of one target, as text and numbers that are ready to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from layersmith.assemble import prune
from layersmith.assemble.bytecode import RULE_ONLY
from layersmith.console import as_called, counted, size
from layersmith.prove.cold import bill, importtime, text
from layersmith.recipes.apply import rule
from layersmith.report import figures, verdict
from layersmith.report.records import variant
from layersmith.ship.cost import billing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from layersmith.assemble.manifest import Distribution, Manifest
    from layersmith.prove.cold.importtime import ImportTree
    from layersmith.prove.models import SmokeReport
    from layersmith.report.records import FunctionParts, ReportedArtifact
    from layersmith.weigh.models import Weighing

COSTLIEST = 25
"""Modules that the table of imports holds."""

VARIANTS: dict[str, str] = {
    "layer": "this layer",
    "before": "before",
    "no-bytecode": "without its bytecode",
    "plain": "plain installation",
    "floor": "floor: no layer",
    **dict[str, str](text.CHOICES.items()),
}

MILLION = 1_000_000
"""Starts that a price is given for; at one million it reads as USD, not as fractions of a cent."""


class Heading(NamedTuple):
    """The head of a column."""

    text: str
    number: bool = False


class Bar(NamedTuple):
    """A bar in a cell, in percent of the cell's width.

    Attributes:
        text: What the cell says.
        left: Where it begins.
        width: How wide it is.
        tone: Class of its colour.
        marks: Places of single values.
    """

    text: str
    left: float
    width: float
    tone: str
    marks: Sequence[float] = ()


class Table(NamedTuple):
    """A table of the page; cells are texts or bars."""

    headings: list[Heading]
    rows: list[Sequence[str | Bar]]


def table(headings: str, rows: Iterable[Sequence[str | Bar]]) -> Table:
    """Return a table.

    Args:
        headings: Heads of columns, separated by ``|``; those of numbers end in ``#``.
        rows: Its rows.
    """
    heads = [Heading(text.rstrip("#"), text.endswith("#")) for text in headings.split("|")]
    return Table(heads, list(rows))


def target(one: ReportedArtifact, functions: Sequence[FunctionParts] = ()) -> dict[str, Any]:
    """Return what the page says of one target.

    Args:
        one: The target.
        functions: The functions of layers.yaml with their layers, of any target.
    """
    manifest = one.manifest
    kinds = _kinds(manifest)
    total = max(1, manifest.artifact.unzipped)
    return {
        "identifier": manifest.identifier,
        "layer": manifest.layer,
        "version": manifest.version,
        "runtime": manifest.runtime,
        "architecture": manifest.architecture,
        "description": manifest.description,
        "zipped": size(manifest.artifact.zipped),
        "unzipped": size(manifest.artifact.unzipped),
        "files": f"{manifest.artifact.files:,}",
        "shares": [(kind, f"{1000 * count / total:.1f}") for kind, count in kinds if count],
        "kinds": [
            (f"k-{kind}", f"{kind} {size(count)}, {count / total:.0%}")
            for kind, count in kinds
            if count
        ],
        "checks": verdict.checks(one, functions),
        "meters": verdict.meters(one),
        "facts": _facts(manifest),
        "saved": saved(one),
        "rules": _rules(manifest),
        "pulls": figures.pulls(manifest),
        "dropped": _dropped(manifest),
        "distributions": _distributions(manifest),
        "imports": imports(one.imports) if one.imports else None,
        "cold": cold(one) if one.cold_start else None,
        "savings": savings(one),
        "history": history(one),
        "proof": proof(one.smoke),
        "weighing": _weighing(one.weighing) if one.weighing else None,
        "notes": [f"Left out, because they are of an earlier zip: {', '.join(one.stale)}."]
        if one.stale
        else [],
    }


def saved(one: ReportedArtifact) -> dict[str, Any] | None:
    """Return the steps from a plain installation to the layer as a waterfall."""
    steps = figures.waterfall(one)
    if not steps:
        return None
    widest = max(step.after for step in steps) or 1
    first, last = steps[0].after, steps[-1].after
    rows = [
        (
            step.name,
            Bar(
                step.text,
                100 * (0 if step.whole else min(step.after, step.after - step.delta)) / widest,
                100 * abs(step.delta) / widest,
                "whole" if step.whole else "less" if step.delta < 0 else "grown",
            ),
            "" if step.whole else signed(step.delta),
            size(step.after),
        )
        for step in steps
    ]
    share = f", {1 - last / first:.0%} less" if last < first else ""
    return {
        "text": f"{size(first)} to {size(last)} unpacked{share}",
        **table("step|what it does|change#|after it#", rows)._asdict(),
    }


def signed(count: int) -> str:
    """Return bytes with their sign."""
    return f"{'+' if count >= 0 else '−'}{size(abs(count))}"  # noqa: RUF001 -- a minus sign


def _rules(manifest: Manifest) -> Table | None:
    """Return what each rule left out, and why, or what is lost by it."""
    why = {one.name: one.why for one in prune.default_rules()}
    why[RULE_ONLY] = "sources whose bytecode stays"
    for use in manifest.recipes:
        why[rule(use.name)] = "; ".join(dict.fromkeys(use.prune.values()))
    rows = [
        (one.rule, why.get(one.rule, ""), f"{one.files:,}", size(one.unzipped))
        for one in sorted(manifest.pruned, key=lambda one: -one.unzipped)
    ]
    return table("rule|what it leaves out|files#|unpacked#", rows) if rows else None


def savings(one: ReportedArtifact) -> Table | None:
    """Return what other choices and imports that wait would save, as far as that was measured."""
    found = [
        (text.CHOICES[it.name], f"{size(it.zipped)} zip, {size(it.unzipped)} unpacked", it.saved)
        for it in (one.cold_start.choices if one.cold_start else ())
    ]
    for report in one.lazy:
        name = f"the function {report.function}"
        found += [
            (f"lazy imports: {it.statement}", f"{name}, {it.file}:{it.line}", it.saved)
            for it in report.imports
            if it.saved
        ]
        if report.together:
            found.append(("lazy imports: all that can wait", name, report.together))
        if report.interpreter:
            found.append(("lazy imports: PYTHON_LAZY_IMPORTS=all", name, report.interpreter))
    currency = billing.load().currency
    rows = [
        (
            what,
            where,
            f"{saved.ms.median:,.1f} ms",
            f"{saved.ms.low:,.1f} to {saved.ms.high:,.1f} ms",
            "" if saved.million is None else f"{saved.million:,.2f} {currency}",
        )
        for what, where, saved in found
    ]
    return (
        table("change|where|saves#|lowest to highest#|a million cold starts#", rows)
        if rows
        else None
    )


def imports(tree: ImportTree) -> dict[str, Any]:
    """Return what the page says of import times."""
    costliest = importtime.costliest(tree.roots, COSTLIEST)
    return {
        "total": _ms(tree.total_us),
        "runner": tree.runner,
        "legend": [
            *((f"c{number}", name) for number, name in enumerate(figures.legend(tree))),
            ("other", "other distributions"),
            ("std", "standard library"),
        ],
        "bands": figures.flame(tree),
        "by_distribution": table(
            "distribution|milliseconds#",
            [(name, f"{us / 1000:,.1f}") for name, us in tree.by_distribution.items()],
        ),
        "costliest": table(
            "module|distribution|itself, ms#|with its imports, ms#",
            [
                (
                    node.module,
                    node.distribution or "standard library",
                    f"{node.self_us / 1000:,.1f}",
                    f"{node.cumulative_us / 1000:,.1f}",
                )
                for node in costliest
            ],
        ),
    }


def cold(one: ReportedArtifact) -> dict[str, Any]:
    """Return what the page says of cold starts, and of what a million of them costs."""
    report = one.cold_start
    assert report is not None
    how = {
        "measurement": "measured natively",
        "twin": f"measured of its twin, natively on {report.runner.architecture}",
        "estimate": f"estimated under emulation, divided by {report.factor:.1f}",
    }[report.kind]
    factor = report.factor
    widest = max(found.total.high for found in report.variants) / factor or 1
    rows = [
        (
            VARIANTS[found.name],
            Bar(
                f"{found.total.low / factor:,.0f} to {found.total.high / factor:,.0f} ms",
                0,
                100 * found.total.median / factor / widest,
                "mine" if found.name == "layer" else "whole",
                [round(100 * it.total_ms / factor / widest, 1) for it in found.samples],
            ),
            f"{found.total.median / factor:,.0f} ms",
            f"{found.init.median / factor:,.0f} ms",
            money(one, found.init.median / factor),
            size(found.peak_memory) if found.peak_memory else "",
        )
        for found in report.variants
    ]
    return {
        "how": f"{how}, {counted(report.starts, 'start')} each",
        "word": f"{report.judged_ms:,.0f} ms cold start",
        "state": "good" if report.within else "bad",
        "saving": saving(one),
        "assumes": assumption(one),
        "change": f"In one run: {report.change}." if report.change else "",
        "notes": [*([f"{bill.said(report.phases)}."] if report.phases else []), *report.notes],
        **table(
            "variant|every start|median#|of that INIT#|a million INITs#|peak memory#", rows
        )._asdict(),
    }


def price(one: ReportedArtifact, init_ms: float) -> float:
    """Return what a million INIT phases of some milliseconds cost.

    Lambda bills INIT as it bills invocations since 2025-08-01 (AWS Compute Blog, 2025-04-29).
    """
    gb_seconds = init_ms / 1000 * one.memory / 1024 * MILLION
    return gb_seconds * billing.load().table[billing.GB_SECOND[one.manifest.architecture]]


def money(one: ReportedArtifact, init_ms: float) -> str:
    """Return the price as text."""
    return f"{price(one, init_ms):,.2f} {billing.load().currency}"


def saving(one: ReportedArtifact) -> str:
    """Return how much sooner and cheaper the layer starts than a plain installation."""
    report = one.cold_start
    layer, plain = (variant(report, name) if report else None for name in ("layer", "plain"))
    if report is None or layer is None or plain is None:
        return ""
    sooner = (plain.total.median - layer.total.median) / report.factor
    cheaper = (plain.init.median - layer.init.median) / report.factor
    if sooner <= 0 or cheaper <= 0:
        return ""
    return (
        f"A cold start takes {sooner:,.0f} ms less than with a plain installation; a million of"
        f" them cost {money(one, cheaper)} less."
    )


def assumption(one: ReportedArtifact) -> str:
    """Return what a price is calculated with."""
    prices = billing.load()
    unit = prices.table[billing.GB_SECOND[one.manifest.architecture]]
    why = f"the most that {', '.join(one.users)} have" if len(one.users) > 1 else ""
    why = why or (f"the memory of {one.users[0]}" if one.users else "the default of layers.yaml")
    return (
        f"Lambda bills INIT by duration and memory, here at {one.memory:,} MB ({why}) and"
        f" {unit:.10f} {prices.currency} per GB-second on {one.manifest.architecture},"
        f" us-east-1, read on {prices.date}. The request and the first invocation are not in it."
    )


def history(one: ReportedArtifact) -> Table | None:
    """Return the releases of a target, if there is more than one."""
    found = one.history
    if len(found) < 2:
        return None
    widest = max(release.unzipped for release in found) or 1
    return table(
        "release|size|unpacked#|zip#|cold start#|a million INITs#",
        [
            (
                release.version,
                Bar("", 0, 100 * release.unzipped / widest, "mine"),
                size(release.unzipped),
                size(release.zipped),
                f"{release.cold_ms:,.0f} ms" if release.cold_ms is not None else "",
                money(one, release.init_ms) if release.init_ms is not None else "",
            )
            for release in found
        ],
    )


def proof(report: SmokeReport | None) -> dict[str, Any]:
    """Return what the page says of a layer's proof."""
    if report is None:
        return {
            "state": "warn",
            "word": "not proven",
            "text": as_called("No proof of this zip lies beside it: run `nox -s smoke`."),
            "problems": [],
            "rows": [],
        }
    where = report.runner.image or report.runner.interpreter or report.runner.kind
    emulator = f", {report.runner.emulator}" if report.runner.emulator else ""
    rows = list(_proven(report))
    return {
        "state": "good" if report.ok else "bad",
        "word": "proven" if report.ok else "proof failed",
        "text": f"Started on {report.runner.architecture} in {where}{emulator},"
        f" in {report.seconds:.0f} s.",
        "problems": report.problems,
        "headings": table("what|result", []).headings,
        "rows": rows,
    }


def _proven(report: SmokeReport) -> Iterator[tuple[str, str]]:
    done = report.imports
    counts = f"{done.modules:,} modules, {len(done.failed)} failed, {len(done.excepted)} excepted"
    yield "imports", f"{counts} by layers.yaml"
    if report.forbidden:
        held = not report.forbidden.present and not report.forbidden.loaded
        yield f"never {', '.join(report.forbidden.patterns)}", "held" if held else "violated"
    if report.smoke:
        tests = report.smoke.tests
        passed = sum(test.outcome == "passed" for test in tests)
        services = ", ".join(report.smoke.services) or "no service"
        yield report.smoke.file, f"{passed} of {len(tests)} tests passed, with {services}"
        for test in tests:
            yield test.name, f"{test.outcome}, {test.ms:,.0f} ms"


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:,.0f} ms"


def _kinds(manifest: Manifest) -> list[tuple[str, int]]:
    sums = dict.fromkeys(figures.KINDS, 0)
    for file in manifest.files:
        sums[figures.kind(file.path)] += file.size
    return list(sums.items())


def _by_size(distributions: Iterable[Distribution]) -> list[Distribution]:
    return sorted(distributions, key=lambda dist: (-dist.unzipped, dist.name))


def _distributions(manifest: Manifest) -> Table:
    return table(
        "distribution|version|from|unpacked#|zip#|native#|bytecode#|files#|licence",
        [
            (
                one.name,
                one.version,
                one.origin,
                size(one.unzipped),
                size(one.zipped),
                size(one.native) if one.native else "",
                size(one.bytecode) if one.bytecode else "",
                f"{one.files:,}",
                one.license or "not stated",
            )
            for one in _by_size(manifest.distributions)
        ],
    )


def _dropped(manifest: Manifest) -> Table | None:
    rows = [(one.name, one.version, one.reason) for one in manifest.dropped]
    return table("distribution|version|why", rows) if rows else None


def _facts(manifest: Manifest) -> Table:
    artifact = manifest.artifact
    highest = ", ".join(f"{name} {version}" for name, version in manifest.audit.highest.items())
    rows = [
        ("file", artifact.filename),
        ("SHA-256", artifact.sha256),
        ("zip", f"{artifact.zipped:,} bytes"),
        ("unpacked", f"{artifact.unzipped:,} bytes"),
        ("needs at most", highest or "no native code"),
        ("bytecode", manifest.bytecode.note or _bytecode(manifest)),
    ]
    return table("what|value", rows)


def _bytecode(manifest: Manifest) -> str:
    record = manifest.bytecode
    return f"{record.mode}, optimize: {record.optimize}" if record.optimize else record.mode


def _weighing(weighing: Weighing) -> dict[str, Any]:
    return {
        "text": f"{weighing.verdict.word}: {weighing.verdict.text}",
        **table(
            "saves#|what|how",
            [
                (
                    ("about " if one.estimate else "") + size(one.unzipped) if one.unzipped else "",
                    f"{one.kind}: {one.subject}",
                    ("Done: " if one.done else "") + one.text,
                )
                for one in weighing.advice
            ],
        )._asdict(),
    }
