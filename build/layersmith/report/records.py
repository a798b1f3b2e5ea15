"""Gathers what lies in dist/: manifests, and what was measured and proven of their artifacts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from layersmith.assemble import manifest as manifests
from layersmith.base import disk
from layersmith.base.versions import order
from layersmith.errors import BuildError
from layersmith.prove.cold.importtime import ImportTree
from layersmith.prove.cold.models import ColdStartReport
from layersmith.prove.reports import SmokeReport
from layersmith.report.found import MANIFEST
from layersmith.weigh.models import Weighing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.config.models import Budgets

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class ReportedRelease:
    """The sizes of one version of a target, in bytes."""

    version: str
    zipped: int
    unzipped: int


@dataclass(frozen=True)
class ReportedArtifact:
    """All that is known about one artifact.

    Attributes:
        manifest: Its manifest.
        budgets: What layers.yaml allows it; None where it is not in there.
        cold_start: Its cold starts, if they were measured.
        imports: Its import times, if they were measured.
        smoke: Its proof, if it was started.
        weighing: What ``weigh --save`` found.
        history: Its releases, the oldest first, itself included.
        stale: Records that are of another zip and were left out.
    """

    manifest: Manifest
    budgets: Budgets | None = None
    cold_start: ColdStartReport | None = None
    imports: ImportTree | None = None
    smoke: SmokeReport | None = None
    weighing: Weighing | None = None
    history: Sequence[ReportedRelease] = ()
    stale: list[str] = field(default_factory=list)


def gather(
    dist: Path, budgets: dict[str, Budgets], history: Iterable[Path] = ()
) -> list[ReportedArtifact]:
    """Return every target in a folder, in its newest version.

    Args:
        dist: Folder of the artifacts.
        budgets: Budgets by layer.
        history: Folders with manifests of earlier releases.

    Raises:
        BuildError: There is no manifest, or one is damaged.
    """
    newest: dict[str, tuple[Path, Manifest]] = {}
    for path, manifest in _manifests(dist):
        known = newest.get(manifest.identifier)
        if known is None or order(known[1].version) < order(manifest.version):
            newest[manifest.identifier] = (path, manifest)
    if not newest:
        raise BuildError(
            f"there is nothing to report: no manifest is in {dist}",
            cause="no layer has been built",
            hint="run `nox -s build`",
        )
    earlier = [one for folder in (*history, dist) for _, one in _manifests(folder)]
    return [
        _artifact(path, manifest, budgets.get(manifest.layer), earlier)
        for path, manifest in (newest[name] for name in sorted(newest))
    ]


def _manifests(folder: Path) -> list[tuple[Path, Manifest]]:
    disk.require_readable(folder)
    paths = [one for one in sorted(folder.rglob("*.json")) if MANIFEST.fullmatch(one.name)]
    return [(path, manifests.read(path)) for path in paths]


def _artifact(
    path: Path, manifest: Manifest, budgets: Budgets | None, earlier: Iterable[Manifest]
) -> ReportedArtifact:
    sha256 = manifest.artifact.sha256
    stale: list[str] = []
    cold_start = _beside(path, ".coldstart.json", ColdStartReport)
    if cold_start and cold_start.sha256 != sha256:
        cold_start = None
        stale.append("cold starts")
    smoke = _beside(path, ".smoke.json", SmokeReport)
    if smoke and smoke.sha256 != sha256:
        smoke = None
        stale.append("the proof")
    imports = _beside(path, ".importtime.json", ImportTree)
    if imports and "cold starts" in stale:
        # Import times name no zip; they are taken together with the cold starts.
        imports = None
        stale.append("import times")
    return ReportedArtifact(
        manifest=manifest,
        budgets=budgets,
        cold_start=cold_start,
        imports=imports,
        smoke=smoke,
        weighing=_beside(path, ".analysis.json", Weighing),
        history=_history(manifest, earlier),
        stale=stale,
    )


def _history(manifest: Manifest, earlier: Iterable[Manifest]) -> list[ReportedRelease]:
    same = {one.version: one for one in earlier if one.identifier == manifest.identifier}
    return [
        ReportedRelease(one.version, one.artifact.zipped, one.artifact.unzipped)
        for one in sorted(
            {**same, manifest.version: manifest}.values(), key=lambda one: order(one.version)
        )
    ]


def _beside(path: Path, suffix: str, model: type[Model]) -> Model | None:
    try:
        return model.model_validate_json(path.with_suffix(suffix).read_bytes())
    except (OSError, ValidationError):
        return None
