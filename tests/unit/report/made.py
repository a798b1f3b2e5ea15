"""Manifests and records that are made for a test."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from layersmith.assemble.manifest import (
    Artifact,
    AuditRecord,
    BytecodeRecord,
    Distribution,
    FileRecord,
    Inputs,
    Manifest,
)
from layersmith.prove.cold.importtime import Import, ImportTree
from layersmith.prove.cold.models import ColdStartReport, Sample, Variant
from layersmith.prove.models import ImportsProof, RunnerFacts, SmokeReport
from layersmith.report import figures

if TYPE_CHECKING:
    from collections.abc import Mapping

FILES = {
    "fast": {"python/fast/_fast.cpython-313-aarch64-linux-gnu.so": 4_000_000},
    "plain": {
        "python/plain/__init__.py": 30_000,
        "python/plain/__pycache__/__init__.cpython-313.pyc": 35_000,
        "python/plain/table.json": 500_000,
    },
}


def manifest(
    files: Mapping[str, Mapping[str, int]] = FILES,
    *,
    layer: str = "demo",
    version: str = "1.0.0",
    runtime: str = "python3.13",
    versions: Mapping[str, str] | None = None,
    licence: str | None = "MIT",
    steps: Mapping[str, int] | None = None,
    requires: Mapping[str, list[str]] | None = None,
) -> Manifest:
    """Return a manifest of distributions and their files, in bytes."""
    versions = versions or {}
    records = [
        FileRecord(path=path, size=size, zipped=size // 3, distribution=name)
        for name, found in files.items()
        for path, size in found.items()
    ]
    distributions = [
        Distribution(
            name=name,
            version=versions.get(name, "1.0"),
            origin="wheel",
            sha256=hashlib.sha256((name + versions.get(name, "1.0")).encode()).hexdigest(),
            unzipped=sum(found.values()),
            zipped=sum(size // 3 for size in found.values()),
            native=sum(size for path, size in found.items() if figures.kind(path) == "native"),
            bytecode=sum(size for path, size in found.items() if path.endswith(".pyc")),
            files=len(found),
            modules=[name],
            requires=(requires or {}).get(name, []),
            license=licence,
        )
        for name, found in files.items()
    ]
    unzipped = sum(record.size for record in records)
    stem = f"{layer}-{version}-{runtime}-arm64"
    return Manifest(
        layer=layer,
        version=version,
        runtime=runtime,
        architecture="arm64",
        identifier=f"{layer}-{runtime}-arm64",
        description=f"what {layer} is for",
        artifact=Artifact(
            filename=f"{stem}.zip",
            sha256=hashlib.sha256(repr((stem, records)).encode()).hexdigest(),
            code_sha256="",
            zipped=unzipped // 3 + 1000,
            unzipped=unzipped,
            files=len(records),
        ),
        inputs=Inputs(digest="", lock="", requirements=list(files), packages={}),
        distributions=distributions,
        dropped=[],
        steps=dict(steps or {}),
        pruned=[],
        bytecode=BytecodeRecord(mode="unchecked-hash", compiled=1),
        audit=AuditRecord(elf_files=1, machine="aarch64", highest={"GLIBC": "2.28"}),
        tools={},
        files=records,
    )


def cold_start(made: Manifest, *, median: float = 400.0) -> ColdStartReport:
    """Return cold starts of an artifact, three a variant, around a median in milliseconds."""
    variants = []
    for name, factor in (("layer", 1.0), ("plain", 3.0), ("floor", 0.2)):
        samples = [
            Sample(init_ms=factor * median * spread, import_ms=1.0, call_ms=0.0)
            for spread in (0.9, 1.0, 1.1)
        ]
        variants.append(Variant.of(name, 1000, samples))
    return ColdStartReport(
        identifier=made.identifier,
        runtime=made.runtime,
        architecture=made.architecture,
        sha256=made.artifact.sha256,
        kind="twin",
        runner=RunnerFacts.model_validate(
            {"kind": "host", "runtime": made.runtime, "architecture": "x86_64", "twin": True}
        ),
        starts=3,
        variants=variants,
        judged_ms=median,
        budget_ms=3000.0,
    )


def import_tree(made: Manifest, scale: int = 1) -> ImportTree:
    """Return imports: one of the layer with two below it, many that are short, one outside."""
    short = [
        Import(module=f"plain.m{number}", self_us=10, cumulative_us=10, distribution="plain")
        for number in range(300)
    ]
    fast = Import(
        module="fast", self_us=40_000 * scale, cumulative_us=40_000 * scale, distribution="fast"
    )
    plain = Import(
        module="plain",
        self_us=7_000,
        cumulative_us=10_000 + 40_000 * scale,
        distribution="plain",
        children=[fast, *short],
    )
    json = Import(module="json", self_us=2_000, cumulative_us=2_000)
    return ImportTree(
        identifier=made.identifier,
        runner="host",
        total_us=12_000 + 40_000 * scale,
        by_distribution={"fast": 40_000 * scale, "plain": 10_000},
        roots=[json, plain],
    )


def smoke(made: Manifest, *, twin: bool = False, ok: bool = True) -> SmokeReport:
    """Return the proof of an artifact, or of its twin."""
    kind, architecture = ("host", "x86_64") if twin else ("docker", made.architecture)
    return SmokeReport(
        identifier=made.identifier,
        runtime=made.runtime,
        architecture=made.architecture,
        sha256=made.artifact.sha256,
        runner=RunnerFacts.model_validate(
            {"kind": kind, "runtime": made.runtime, "architecture": architecture, "twin": twin}
        ),
        imports=ImportsProof(modules=1, failed=[], excepted={}, unneeded=[], slowest_ms={}),
        problems=[] if ok else ["it does not start"],
        seconds=1.0,
    )
