"""Measures one target in every way that this machine allows, and judges its budget."""

from __future__ import annotations

import contextlib
import json
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache
from layersmith.assemble import manifest as manifests
from layersmith.assemble import outputs
from layersmith.errors import BudgetError, ProofError
from layersmith.prove import runners, services
from layersmith.prove.cold import bill, importtime
from layersmith.prove.cold import measure as coldstart
from layersmith.prove.cold.models import (
    Against,
    BytecodeCost,
    ColdStartReport,
    Comparison,
    OtherChoice,
    Ratio,
    Saved,
)
from layersmith.prove.cold.variants import Built, Way, below, prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layersmith.plan import Target
    from layersmith.prove.cold.models import Kind, Variant, VariantName
    from layersmith.prove.models import RunnerKind
    from layersmith.prove.runners import Runner

STARTS = 11
EMULATED_STARTS = 3
"""Fresh processes a variant, where nobody says how many."""

NAMES: tuple[VariantName, ...] = ("layer", "no-bytecode", "plain", "floor")


@dataclass(frozen=True)
class ColdStartPlan:
    """What is measured and how.

    Attributes:
        root: Folder that the paths of layers.yaml are relative to.
        dist: Folder of the artifacts, where the reports go, too.
        kind: ``docker`` or ``host``.
        image: Name of an image instead of the one that would be chosen.
        starts: Fresh processes a variant; None for a number that fits the runner.
        names: The variants; ``layer`` is always among them.
        memories: MB of memory to price cold starts at.
        prices: What Lambda takes, by architecture; without one nothing is priced.
        against: Identifier -> manifest of an earlier zip, which lies beside it; None where nothing
            is to be compared.
        choices: Builds a target otherwise, in a folder that is empty, and returns what came of it,
            and notes on what did not.
    """

    root: Path
    dist: Path
    kind: RunnerKind = "docker"
    image: str | None = None
    starts: int | None = None
    names: Sequence[VariantName] = NAMES
    memories: Sequence[int] = bill.MEMORIES
    prices: Mapping[str, bill.Price] = field(default_factory=dict)
    against: Mapping[str, Path] | None = None
    choices: Callable[[Built, Path], tuple[list[Way], list[str]]] | None = None


def measure(
    target: Target, plan: ColdStartPlan, show: Callable[..., None] = lambda *_: None
) -> tuple[ColdStartReport, importtime.ImportTree]:
    """Measure a target, and write dist/<stem>.coldstart.json and .importtime.json.

    Args:
        target: The target.
        plan: How to measure.
        show: Told the phase.

    Raises:
        ProofError: It does not start, or emulated times cannot be turned into an estimate.
    """
    built = Built(
        target,
        manifests.read(plan.dist / f"{target.stem}.json"),
        plan.dist / f"{target.stem}.zip",
        plan.root,
        outputs.built(target.beside, plan.dist),
    )
    if not built.has_sources:
        plan = replace(plan, names=[name for name in plan.names if name != "no-bytecode"])
    ways: list[Way] = [(name, built) for name in plan.names]
    before, notes = _before(built, plan.against)
    if before and before.manifest.artifact.sha256 != built.manifest.artifact.sha256:
        ways.insert(1, ("before", before))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="layersmith-cold-")))
        others, more = _others(built, plan, folder / "built", show)
        ways = [way for way in ways if not others or way[0] != "no-bytecode"] + others
        notes += more
        show("preparing the runtime")
        made = runners.make(plan.kind, target.runtime, target.architecture, image=plan.image)
        opened = stack.enter_context(made)
        native = None if opened.emulation.native else stack.enter_context(_native(target))
        show("measuring starts", f"of {', '.join(name for name, _ in ways)}")
        report, roots = _measure(built, ways, plan, opened, native=native, folder=folder)
    price = plan.prices.get(target.architecture)
    known = {
        "notes": notes,
        "against": _against(report, before),
        "choices": _choices(report, others, price),
    }
    report = report.model_copy(update=known)
    _write(plan.dist / f"{target.stem}.coldstart.json", report)
    tree = importtime.ImportTree(
        identifier=target.identifier,
        runner=(native if native and built.has_twin else opened).facts.described,
        total_us=sum(root.cumulative_us for root in roots),
        by_distribution=importtime.by_distribution(roots),
        roots=roots,
    )
    _write(plan.dist / f"{target.stem}.importtime.json", tree)
    return report, tree


def _before(built: Built, against: Mapping[str, Path] | None) -> tuple[Built | None, list[str]]:
    """Return the target as it was before, or why it is not measured."""
    if against is None:
        return None, []
    name = built.target.identifier
    if name not in against:
        return None, [f"{name} is new: there is no earlier one to compare its cold starts with"]
    manifest = manifests.read(against[name])
    layer = against[name].with_name(manifest.artifact.filename)
    if not layer.is_file():
        return None, [f"cold starts are not compared: {layer.name} is not beside its manifest"]
    return replace(built, manifest=manifest, layer=layer), []


def _others(
    built: Built, plan: ColdStartPlan, folder: Path, show: Callable[..., None]
) -> tuple[list[Way], list[str]]:
    """Return the target as it could be built or started otherwise, where that is asked for."""
    if plan.choices is None:
        return [], []
    show("building it otherwise")
    ways, notes = plan.choices(built, folder)
    if built.target.runtime.minor >= coldstart.LAZY_SINCE:
        ways.append(("lazy-imports", built))
    return ways, notes


def _choices(
    report: ColdStartReport, others: Sequence[Way], price: bill.Price | None
) -> list[OtherChoice]:
    layer, found = report.timed("layer"), []
    factor = 1.0 if report.twins else report.factor
    for name, built in others:
        variant, made = report.timed(name), built.manifest.artifact
        if layer is None or variant is None:
            continue
        million = bill.cheaper(variant, layer, bill.WHOLE, price, factor) if price else None
        saved = Saved.of(variant, layer, factor).model_copy(update={"million": million})
        found.append(
            OtherChoice(name=name, zipped=made.zipped, unzipped=made.unzipped, saved=saved)
        )
    return found


def _against(report: ColdStartReport, before: Built | None) -> Against | None:
    if before is None:
        return None
    found = report.timed("before")
    return Against(
        version=before.manifest.version,
        sha256=before.manifest.artifact.sha256,
        ratio=Ratio.of(report.timed("layer") or found, found) if found else None,
    )


def over_budget(report: ColdStartReport) -> BudgetError | None:
    """Return the error for a target that starts too slowly, or None."""
    if report.is_soon_enough or report.budget_ms is None:
        return None
    words = {
        "measurement": "measured",
        "twin": "measured on its host twin",
        "estimate": "estimated from emulation",
    }
    return BudgetError(
        f"cold start is {report.judged_ms:,.0f} ms ({words[report.kind]}, median of"
        f" {report.starts}); the budget is {report.budget_ms:,.0f} ms",
        target=report.identifier,
        cause="something that is imported at the start costs more than it did",
        hint=f"see the costliest imports in dist/ ({report.identifier}, .importtime.json), or raise"
        " budgets.cold-start",
        key="budgets.cold-start",
    )


def over_price(report: ColdStartReport) -> BudgetError | None:
    """Return the error for a target whose cold starts cost too much, or None."""
    if report.is_cheap_enough or report.judged_price is None:
        return None
    return BudgetError(
        f"a million cold starts cost {report.judged_price:,.2f} {report.currency} at"
        f" {bill.WHOLE:,} MB (median of {report.starts}); the budget is"
        f" {report.budget_price:,.2f} {report.currency}",
        target=report.identifier,
        cause="something that is imported at the start costs more than it did",
        hint="the phases of INIT say what it is; change that, or raise budgets.cold-start-price",
        key="budgets.cold-start-price",
    )


def _measure(
    built: Built,
    ways: Sequence[Way],
    plan: ColdStartPlan,
    opened: Runner,
    *,
    native: Runner | None,
    folder: Path,
) -> tuple[ColdStartReport, list[importtime.Import]]:
    starts = plan.starts or (EMULATED_STARTS if native else STARTS)
    variants = _variants(ways, opened, folder / "main", starts)
    calibration, comparisons = None, []
    twins: list[Variant] = []
    timed, timed_folder = opened, folder / "main"
    if native:
        code = coldstart.workload(folder / "workload")
        calibration = coldstart.calibrate(opened, native, code, starts)
    if native and calibration and all(one.has_twin for _, one in ways):
        twins = _variants(ways, native, folder / "native", plan.starts or STARTS)
        comparisons = _compare(variants, twins, calibration.factor)
        timed, timed_folder = native, folder / "native"
    roots = _import_tree(built, timed, timed_folder)
    factor = calibration.factor if calibration else 1.0
    layer = next(one for one in variants if one.name == "layer")
    budgets = built.target.settings.budgets
    price = plan.prices.get(built.target.architecture)
    billed = [
        bill.billed(variant, memory, price, factor)
        for variant in variants
        for memory in plan.memories
        if price
    ]
    report = ColdStartReport(
        identifier=built.target.identifier,
        runtime=built.target.runtime.name,
        architecture=built.target.architecture,
        sha256=built.manifest.artifact.sha256,
        kind=_kind(opened, native),
        runner=opened.facts,
        starts=starts,
        variants=variants,
        twins=twins,
        calibration=calibration,
        comparisons=comparisons,
        bytecode=_bytecode(built, variants, factor),
        phases=bill.phases(layer, roots, factor),
        billed=billed,
        currency=price.currency if price else "",
        priced=price.date if price else "",
        judged_ms=round(layer.total.median / factor, 2),
        budget_ms=budgets.cold_start * 1000 if budgets.cold_start else None,
        judged_price=bill.billed(layer, bill.WHOLE, price, factor).million.median
        if price
        else None,
        budget_price=budgets.cold_start_price,
    )
    return report, roots


def _bytecode(built: Built, variants: Sequence[Variant], factor: float) -> BytecodeCost | None:
    compiled = [record for record in built.manifest.files if record.path.endswith(".pyc")]
    if not compiled:
        return None
    medians = {one.name: one.total.median for one in variants}
    bare = medians.get("no-bytecode", medians.get("bytecode-none"))
    gain = None if bare is None else bare - medians["layer"]
    return BytecodeCost(
        zipped=sum(record.zipped for record in compiled),
        unzipped=sum(record.size for record in compiled),
        gain_ms=None if gain is None else round(gain / factor, 2),
    )


def _import_tree(built: Built, timed: Runner, folder: Path) -> list[importtime.Import]:
    with _serving(built, "layer", timed) as variables:
        layers = below(built, timed, folder / "tree-beside", folder / "layer")
        spec = coldstart.specification(folder / "code-layer", layers, variables)
        return coldstart.import_tree(timed, spec, importtime.owners_of(built.manifest))


def _variants(ways: Sequence[Way], opened: Runner, folder: Path, starts: int) -> list[Variant]:
    with contextlib.ExitStack() as stack:
        found = []
        for name, built in ways:
            variables = stack.enter_context(_serving(built, name, opened))
            if name == "lazy-imports":
                variables = {**variables, **coldstart.LAZY}
            found.append(prepare(built, name, opened, folder, variables))
        return coldstart.in_turns(found, opened, starts)


def _serving(
    built: Built, name: VariantName, opened: Runner
) -> contextlib.AbstractContextManager[dict[str, str]]:
    handler = built.handler(name)
    wanted = services.wanted_by(handler) if handler else ()
    return services.serve(wanted, opened.service_host, opened.service_name, built.manifest)


def _native(target: Target) -> Runner:
    try:
        return runners.make("host", target.runtime, target.architecture)
    except ProofError as problem:
        raise ProofError(
            "emulated times alone cannot be turned into a cold-start estimate",
            cause=f"the factor is also measured natively, and {problem.message}",
            hint=problem.hint,
        ) from problem


def _compare(
    variants: Sequence[Variant], twins: Sequence[Variant], factor: float
) -> list[Comparison]:
    found = []
    for emulated, measured in zip(variants, twins, strict=True):
        estimate = emulated.total.median / factor
        found.append(
            Comparison(
                variant=emulated.name,
                estimate_ms=round(estimate, 2),
                twin_ms=measured.total.median,
                off_percent=round((estimate / measured.total.median - 1) * 100, 1),
            )
        )
    return found


def _kind(opened: Runner, native: Runner | None) -> Kind:
    if native:
        return "estimate"
    return "twin" if opened.facts.twin else "measurement"


def _write(path: Path, record: ColdStartReport | importtime.ImportTree) -> None:
    text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    cache.write_text(path, text)
