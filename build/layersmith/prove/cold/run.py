"""Measures one target in every way that this machine allows, and judges its budget."""

from __future__ import annotations

import contextlib
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache
from layersmith.assemble import manifest as manifests
from layersmith.assemble import outputs
from layersmith.errors import BudgetError, ProofError
from layersmith.prove import services
from layersmith.prove.cold import importtime
from layersmith.prove.cold import measure as coldstart
from layersmith.prove.cold.models import BytecodeCost, ColdStartReport, Comparison
from layersmith.prove.cold.variants import Built, below, prepare
from layersmith.prove.runners import choice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layersmith.plan import Target
    from layersmith.prove.cold.models import Kind, Variant, VariantName
    from layersmith.prove.models import RunnerKind
    from layersmith.prove.runners.choice import Runner

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
    """

    root: Path
    dist: Path
    kind: RunnerKind = "docker"
    image: str | None = None
    starts: int | None = None
    names: Sequence[VariantName] = NAMES


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
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="layersmith-cold-")))
        show("preparing the runtime")
        made = choice.make(plan.kind, target.runtime, target.architecture, image=plan.image)
        opened = stack.enter_context(made)
        native = None if opened.emulation.native else stack.enter_context(_native(target))
        show("measuring starts", f"of {', '.join(plan.names)}")
        report, roots = _measure(built, plan, opened, native, folder)
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


def over_budget(report: ColdStartReport) -> BudgetError | None:
    """Return the error for a target that starts too slowly, or None."""
    if report.within or report.budget_ms is None:
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
    )


def _measure(
    built: Built, plan: ColdStartPlan, opened: Runner, native: Runner | None, folder: Path
) -> tuple[ColdStartReport, list[importtime.Import]]:
    starts = plan.starts or (EMULATED_STARTS if native else STARTS)
    variants = _variants(built, plan.names, opened, folder / "main", starts)
    calibration, comparisons = None, []
    timed, timed_folder = opened, folder / "main"
    if native:
        code = coldstart.workload(folder / "workload")
        calibration = coldstart.calibrate(opened, native, code, starts)
    if native and calibration and built.has_twin:
        twins = _variants(built, plan.names, native, folder / "native", plan.starts or STARTS)
        comparisons = _compare(variants, twins, calibration.factor)
        timed, timed_folder = native, folder / "native"
    roots = _import_tree(built, timed, timed_folder)
    factor = calibration.factor if calibration else 1.0
    judged = next(one for one in variants if one.name == "layer").total.median / factor
    budget = built.target.settings.budgets.cold_start
    report = ColdStartReport(
        identifier=built.target.identifier,
        runtime=built.target.runtime.name,
        architecture=built.target.architecture,
        sha256=built.manifest.artifact.sha256,
        kind=_kind(opened, native),
        runner=opened.facts,
        starts=starts,
        variants=variants,
        calibration=calibration,
        comparisons=comparisons,
        bytecode=_bytecode(built, variants, factor),
        judged_ms=round(judged, 2),
        budget_ms=budget * 1000 if budget else None,
    )
    return report, roots


def _bytecode(built: Built, variants: Sequence[Variant], factor: float) -> BytecodeCost | None:
    compiled = [record for record in built.manifest.files if record.path.endswith(".pyc")]
    if not compiled:
        return None
    medians = {one.name: one.total.median for one in variants}
    gain = medians["no-bytecode"] - medians["layer"] if "no-bytecode" in medians else None
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


def _variants(
    built: Built, names: Sequence[VariantName], opened: Runner, folder: Path, starts: int
) -> list[Variant]:
    found = []
    for name in names:
        with _serving(built, name, opened) as variables:
            spec, unzipped = prepare(built, name, opened, folder, variables)
            found.append(coldstart.measure(name, opened, spec, starts, unzipped))
    return found


def _serving(
    built: Built, name: VariantName, opened: Runner
) -> contextlib.AbstractContextManager[dict[str, str]]:
    handler = built.handler(name)
    wanted = services.wanted_by(handler) if handler else ()
    return services.serve(wanted, opened.service_host, opened.service_name, built.manifest)


def _native(target: Target) -> Runner:
    try:
        return choice.make("host", target.runtime, target.architecture)
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
