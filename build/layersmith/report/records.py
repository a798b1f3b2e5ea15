"""Gathers what lies in dist/: manifests, and what was measured and proven of their artifacts.

Beside them stand the functions of layers.yaml with their layers, against what Lambda takes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from layersmith import process
from layersmith.assemble import budgets
from layersmith.base import damage, disk, runtimes
from layersmith.base.versions import order
from layersmith.config.models import Budgets, Function
from layersmith.errors import BuildError
from layersmith.prove.cold.importtime import ImportTree
from layersmith.prove.cold.models import ColdStartReport, LazyReport
from layersmith.prove.models import SmokeReport
from layersmith.report import diffs
from layersmith.report.found import MANIFEST, FoundManifest
from layersmith.supply.advisories import AdvisoryRecord
from layersmith.weigh.models import Weighing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.config.models import Config
    from layersmith.prove.cold.models import Variant
    from layersmith.report.diffs import Diff
    from layersmith.supply.advisories import AdvisoryReport

DEFAULT_MEMORY: int = Function.model_fields["memory"].default
"""MB that a function has if layers.yaml does not say."""

COSTS = "cost-history.jsonl"
"""What `cost --history-out` writes, in the folder of the artifacts or beside earlier manifests."""


@dataclass(frozen=True)
class ReportedRelease:
    """One version of a target.

    Attributes:
        version: Its version.
        zipped: Bytes of the zip.
        unzipped: Bytes of its content.
        cold_ms: Median from start to first answer; None where that was not measured.
        init_ms: Of that, until the runtime asks for the first event: what Lambda bills as INIT.
    """

    version: str
    zipped: int
    unzipped: int
    cold_ms: float | None = None
    init_ms: float | None = None


@dataclass(frozen=True)
class ReportedArtifact:
    """All that is known about one artifact.

    Attributes:
        manifest: Its manifest.
        budgets: What layers.yaml allows it; None where it is not in there.
        memory: MB of the largest function that uses it, or the default of layers.yaml.
        users: The functions that use it.
        cold_start: Its cold starts, if they were measured.
        imports: Its import times, if they were measured.
        lazy: What `lazy` found in the functions that use it, on its runtime.
        smoke: Its proof, if it was started.
        weighing: What ``weigh --save`` found.
        advisories: What `advisories` found, if it looked.
        history: Its releases, the oldest first, itself included.
        change: What differs from the newest earlier release, or from a release of the same version.
        same: Whether that release is the same zip, byte for byte.
        stale: Records that are of another zip and were left out.
    """

    manifest: Manifest
    budgets: Budgets | None = None
    memory: int = DEFAULT_MEMORY
    users: Sequence[str] = ()
    cold_start: ColdStartReport | None = None
    imports: ImportTree | None = None
    lazy: Sequence[LazyReport] = ()
    smoke: SmokeReport | None = None
    weighing: Weighing | None = None
    advisories: AdvisoryReport | None = None
    history: Sequence[ReportedRelease] = ()
    change: Diff | None = None
    same: bool = False
    stale: list[str] = field(default_factory=list)


def gather(
    dist: Path, config: Config | None = None, history: Sequence[Path] = ()
) -> list[ReportedArtifact]:
    """Return every target in a folder, in its newest version.

    Args:
        dist: Folder of the artifacts.
        config: layers.yaml, for budgets and functions.
        history: Folders with manifests of earlier releases.

    Raises:
        BuildError: There is no manifest, or one is damaged.
    """
    found = _manifests(dist)
    newest: dict[str, FoundManifest] = {}
    for one in found:
        known = newest.get(one.manifest.identifier)
        if known is None or order(known.manifest.version) < order(one.manifest.version):
            newest[one.manifest.identifier] = one
    if not newest:
        raise BuildError(
            f"there is nothing to report: no manifest is in {dist}",
            cause="no layer has been built",
            hint="run `nox -s build`",
        )
    released = [one for folder in history for one in _manifests(folder)]
    earlier = [*(one for one in found if one not in newest.values()), *released]
    return [_artifact(newest[name], config, earlier) for name in sorted(newest)]


def _manifests(folder: Path) -> list[FoundManifest]:
    disk.require_readable(folder)
    return [FoundManifest(one) for one in sorted(folder.rglob("*.json")) if _is_manifest(one)]


def _is_manifest(path: Path) -> bool:
    return MANIFEST.fullmatch(path.name) is not None


def _artifact(
    found: FoundManifest, config: Config | None, earlier: Iterable[FoundManifest]
) -> ReportedArtifact:
    manifest = found.manifest
    sha256 = manifest.artifact.sha256
    stale: list[str] = []
    cold_start = found.beside(".coldstart.json", ColdStartReport)
    if cold_start and cold_start.sha256 != sha256:
        cold_start = None
        stale.append("cold starts")
    smoke = found.beside(".smoke.json", SmokeReport)
    if smoke and smoke.sha256 != sha256:
        smoke = None
        stale.append("the proof")
    imports = found.beside(".importtime.json", ImportTree)
    if imports and "cold starts" in stale:
        # Import times name no zip; they are taken together with the cold starts.
        imports = None
        stale.append("import times")
    advisories = found.beside(".advisories.json", AdvisoryRecord)
    if advisories and advisories.sha256 != sha256:
        advisories = None
        stale.append("advisories")
    functions = config.functions.items() if config else ()
    packages = {name: one for name, one in functions if one.package}
    layer = ({**config.layers, **packages} if config else {}).get(manifest.layer)
    users = {name: one.memory for name, one in functions if manifest.layer in one.layers}
    same = [one for one in earlier if one.manifest.identifier == manifest.identifier]
    last = _last(same, manifest)
    return ReportedArtifact(
        manifest=manifest,
        budgets=layer.budgets.on(manifest.architecture) if layer else None,
        memory=max(users.values(), default=DEFAULT_MEMORY),
        users=sorted(users),
        cold_start=cold_start,
        imports=imports,
        lazy=_lazy(found, [*users, manifest.layer], stale),
        smoke=smoke,
        weighing=found.beside(".analysis.json", Weighing),
        advisories=advisories.report if advisories else None,
        history=_history([*same, found]),
        change=diffs.between(manifest.identifier, last, found) if last else None,
        same=last is not None and last.manifest.artifact.sha256 == sha256,
        stale=stale,
    )


def _lazy(found: FoundManifest, functions: Iterable[str], stale: list[str]) -> list[LazyReport]:
    """Return what was found in some functions with this zip; note where it was another one."""
    reports, manifest = [], found.manifest
    for name in functions:
        try:
            text = (found.path.parent / f"{name}.lazy.json").read_bytes()
            report = LazyReport.model_validate_json(text)
        except (OSError, ValidationError):
            continue
        if report.runtime != manifest.runtime:
            continue
        if report.zips.get(manifest.layer) == manifest.artifact.sha256:
            reports.append(report)
        else:
            stale.append(f"lazy imports of {name}")
    return reports


def _last(earlier: Iterable[FoundManifest], manifest: Manifest) -> FoundManifest | None:
    """Return the newest release that is not newer than what was built."""
    known = [one for one in earlier if order(one.manifest.version) <= order(manifest.version)]
    return max(known, key=lambda one: order(one.manifest.version), default=None)


def _history(found: Iterable[FoundManifest]) -> list[ReportedRelease]:
    releases = {one.manifest.version: _release(one) for one in found}
    return [releases[version] for version in sorted(releases, key=order)]


def _release(found: FoundManifest) -> ReportedRelease:
    artifact = found.manifest.artifact
    cold = found.beside(".coldstart.json", ColdStartReport)
    if cold is None or cold.sha256 != artifact.sha256:
        return ReportedRelease(found.manifest.version, artifact.zipped, artifact.unzipped)
    layer = variant(cold, "layer")
    return ReportedRelease(
        found.manifest.version,
        artifact.zipped,
        artifact.unzipped,
        cold.judged_ms,
        layer.init.median / cold.factor if layer else None,
    )


def variant(report: ColdStartReport, name: str) -> Variant | None:
    """Return one of the variants of cold starts, if it was measured."""
    return next((one for one in report.variants if one.name == name), None)


def costs(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """Return the history of costs in some folders, the oldest day first.

    Raises:
        BuildError: A file is damaged.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in (folder / COSTS for folder in folders):
        if path.is_file():
            with damage.told(path.name, kind="history of costs"):
                days = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
                found |= {str(day["date"]): {**day, "total": float(day["total"])} for day in days}
    return [found[date] for date in sorted(found)]


def commit(folder: Path) -> str | None:
    """Return the commit of the repository that a folder is in; ``-dirty`` where it was changed."""
    words = ("git", "-C", folder, "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12")
    try:
        return process.run(words).stdout.strip()
    except process.CommandFailed:
        return None


OWN_CODE = "own code"


@dataclass(frozen=True)
class FunctionParts:
    """One function on one runtime.

    Attributes:
        function: Its name.
        runtime: Such as python3.13.
        architecture: Such as arm64.
        parts: Unzipped bytes of each layer, in their order, and of its own code.
    """

    function: str
    runtime: str
    architecture: str
    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        """Unzipped bytes of all parts."""
        return sum(self.parts.values())

    @property
    def share(self) -> float:
        """Share of what Lambda takes, 1 at the limit."""
        return self.total / runtimes.UNZIPPED_LIMIT


def compositions(config: Config, manifests: Sequence[Manifest], root: Path) -> list[FunctionParts]:
    """Return every function whose layers are all built, by runtime.

    Args:
        config: The configuration.
        manifests: The manifests of what was built.
        root: Folder of layers.yaml.
    """
    sizes = {(m.layer, m.runtime, m.architecture): m.artifact.unzipped for m in manifests}
    platforms = sorted({(m.runtime, m.architecture) for m in manifests})
    found = []
    for name, function in config.functions.items():
        for runtime, architecture in platforms:
            keys = [(layer, runtime, architecture) for layer in function.layers]
            if all(key in sizes for key in keys):
                parts = {key[0]: sizes[key] for key in keys}
                own = sizes.get((name, runtime, architecture)) if function.package else None
                parts[OWN_CODE] = budgets.code_size(function, root) if own is None else own
                found.append(FunctionParts(name, runtime, architecture, parts))
    return found
