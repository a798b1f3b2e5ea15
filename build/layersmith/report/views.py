"""What the page says of one target, as text and numbers that are ready to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from layersmith.base import runtimes
from layersmith.console import size
from layersmith.prove.cold import importtime
from layersmith.report import figures

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from layersmith.assemble.manifest import Distribution, Manifest
    from layersmith.prove.cold.importtime import ImportTree
    from layersmith.prove.cold.models import ColdStartReport
    from layersmith.prove.reports import SmokeReport
    from layersmith.report.records import ReportedArtifact
    from layersmith.weigh.models import Weighing

LARGEST = 40
"""Files and modules that a table holds."""

NEAR = 0.9
"""Share of a budget from which it is shown as nearly spent."""


class Heading(NamedTuple):
    """The head of a column."""

    text: str
    number: bool = False


class Table(NamedTuple):
    """A table of the page."""

    headings: list[Heading]
    rows: list[Sequence[str]]


class Meter(NamedTuple):
    """A value against its limit."""

    name: str
    text: str
    percent: int
    state: str
    """``good``, ``warn`` or ``bad``."""


def table(headings: str, rows: Iterable[Sequence[str]]) -> Table:
    """Return a table.

    Args:
        headings: Heads of columns, separated by ``|``; those of numbers end in ``#``.
        rows: Its rows.
    """
    heads = [Heading(text.rstrip("#"), text.endswith("#")) for text in headings.split("|")]
    return Table(heads, list(rows))


def target(one: ReportedArtifact) -> dict[str, Any]:
    """Return what the page says of one target."""
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
        "kinds": [(kind, f"{size(count)}, {100 * count / total:.0f} %") for kind, count in kinds],
        "budgets": budgets(one),
        "facts": _facts(manifest),
        "zooms": [dist.name for dist in _by_size(manifest.distributions) if dist.unzipped],
        "distributions": _distributions(manifest),
        "largest": _largest(manifest),
        "imports": imports(one.imports) if one.imports else None,
        "cold": cold(one.cold_start) if one.cold_start else None,
        "proof": proof(one.smoke),
        "weighing": _weighing(one.weighing) if one.weighing else None,
        "notes": [f"Left out, because they are of an earlier zip: {', '.join(one.stale)}."]
        if one.stale
        else [],
    }


def budgets(one: ReportedArtifact) -> list[Meter]:
    """Return a layer's sizes and times against its budgets and Lambda's limits."""
    artifact, wanted = one.manifest.artifact, one.budgets
    found = [
        _meter("unpacked, of what Lambda takes", artifact.unzipped, runtimes.UNZIPPED_LIMIT),
        _meter(
            "zip, of a direct upload",
            artifact.zipped,
            runtimes.DIRECT_UPLOAD_LIMIT,
        ),
    ]
    if wanted and wanted.zipped is not None:
        found.append(_meter("budgets.zipped", artifact.zipped, wanted.zipped))
    if wanted and wanted.unzipped is not None:
        found.append(_meter("budgets.unzipped", artifact.unzipped, wanted.unzipped))
    if one.cold_start and one.cold_start.budget_ms:
        value, limit = one.cold_start.judged_ms, one.cold_start.budget_ms
        text = f"{value:,.0f} of {limit:,.0f} ms"
        found.append(Meter("budgets.cold-start", text, *_judged(value / limit)))
    return found


def _meter(name: str, value: int, limit: int) -> Meter:
    return Meter(name, f"{size(value)} of {size(limit)}", *_judged(value / limit))


def _judged(share: float) -> tuple[int, str]:
    state = "bad" if share > 1 else "warn" if share > NEAR else "good"
    return round(100 * share), state


def imports(tree: ImportTree) -> dict[str, Any]:
    """Return what the page says of import times."""
    costliest = importtime.costliest(tree.roots, LARGEST)
    return {
        "total": _ms(tree.total_us),
        "runner": tree.runner,
        "legend": figures.legend(tree),
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


def cold(report: ColdStartReport) -> dict[str, Any]:
    """Return what the page says of cold starts."""
    how = {
        "measurement": "measured natively",
        "twin": f"measured of its twin, natively on {report.runner.architecture}",
        "estimate": f"estimated under emulation, divided by {report.factor:.1f}",
    }[report.kind]
    rows = []
    for one in report.variants:
        spread, factor = one.total, report.factor
        memory = size(one.peak_memory) if one.peak_memory else ""
        numbers = (spread.median, spread.p90, spread.low, spread.high)
        cells = [f"{value / factor:,.0f}" for value in numbers]
        rows.append((figures.VARIANTS[one.name], *cells, size(one.unzipped), memory))
    return {
        "how": f"{how}, {report.starts} starts each",
        "word": f"{report.judged_ms:,.0f} ms cold",
        "state": "good" if report.within else "bad",
        "headings": table(
            "variant|median#|9 of 10#|fastest#|slowest#|unpacked#|memory#", []
        ).headings,
        "rows": rows,
        "notes": report.notes,
    }


def proof(report: SmokeReport | None) -> dict[str, Any]:
    """Return what the page says of a layer's proof."""
    if report is None:
        return {
            "state": "warn",
            "word": "not proven",
            "text": "No proof of this zip lies beside it: run `nox -s smoke`.",
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


def _largest(manifest: Manifest) -> Table:
    largest = sorted(manifest.files, key=lambda file: (-file.size, file.path))[:LARGEST]
    return table(
        "file|distribution|kind|unpacked#|zip#",
        [
            (one.path, one.distribution, figures.kind(one.path), size(one.size), size(one.zipped))
            for one in largest
        ],
    )


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
    if manifest.dropped:
        rows.append(("left out", ", ".join(sorted(one.name for one in manifest.dropped))))
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
