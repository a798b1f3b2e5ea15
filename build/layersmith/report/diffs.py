"""Compares artifacts and locks: two files, or two folders target by target.

What differs is data, which `diff --json` prints, versioned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from layersmith.base.models import StrictModel
from layersmith.errors import ConfigError
from layersmith.lock import document
from layersmith.prove.cold.importtime import ImportTree
from layersmith.prove.cold.models import ColdStartReport
from layersmith.report import found
from layersmith.report.found import FoundLock, FoundManifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from layersmith.assemble.manifest import Distribution
    from layersmith.lock.document import Lock
    from layersmith.report.found import Found

Kind = Literal["added", "removed", "upgraded", "downgraded", "file", "size"]
"""``file``: the same version from another file. ``size``: the same file, packed otherwise."""


class Side(StrictModel):
    """One of the two."""

    name: str
    """File that it was read from."""
    version: str | None = None
    zipped: int | None = None
    """Bytes of the zip; None for a lock."""
    unzipped: int | None = None
    """Bytes of its content; None for a lock."""
    files: int | None = None


class DistributionChange(StrictModel):
    """One distribution that differs."""

    name: str
    kind: Kind
    before: str | None
    """Its version before; None where it is new."""
    after: str | None
    """Its version after; None where it is gone."""
    unzipped: int | None = None
    """Bytes by which it grew, unzipped; None for locks."""
    zipped: int | None = None
    """Bytes by which it grew in the zip; None for locks."""


class FileChange(StrictModel):
    """One file that differs in size."""

    path: str
    before: int | None
    """Bytes before; None where it is new."""
    after: int | None
    """Bytes after; None where it is gone."""

    @property
    def growth(self) -> int:
        """Bytes by which it grew."""
        return (self.after or 0) - (self.before or 0)


class Files(StrictModel):
    """What became of the files."""

    added: int
    removed: int
    resized: int
    """Files of another size."""
    biggest: list[FileChange]
    """The largest changes, by bytes."""


class Timing(StrictModel):
    """One duration, before and after, in milliseconds."""

    name: str
    before: float | None
    after: float | None


class Diff(StrictModel):
    """What differs between two artifacts of one target, or between two locks of it."""

    format: Literal[1] = 1
    identifier: str
    before: Side | None
    """None where the target is new."""
    after: Side | None
    """None where the target is gone."""
    distributions: list[DistributionChange]
    files: Files | None = None
    """None for locks."""
    imports: list[Timing] = Field(default_factory=list)
    """Of the whole start first, then of the distributions whose imports changed most."""
    cold_start: list[Timing] = Field(default_factory=list)
    """Medians by phase, of the layer itself."""
    notes: list[str] = Field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether version and content are the same; times are never quite."""
        files = self.files
        unchanged = files is None or not (files.added or files.removed or files.resized)
        if self.before is None or self.after is None or self.before.version != self.after.version:
            return False
        return unchanged and not self.distributions


BIGGEST = 15
"""Files and imports that are named."""


def compare(before: Path | str, after: Path | str, dist: Path) -> list[Diff]:
    """Compare two manifests, two locks, two releases, or two folders of either.

    Args:
        before: A file, a folder, or a release such as ``imaging@1.0.0``.
        after: The same kind of thing.
        dist: Folder in which releases are looked for.

    Returns:
        One a target, by its identifier; targets of one side alone included.

    Raises:
        LayersmithError: A file is missing or damaged.
        ConfigError: The two are of different kinds.
    """
    old, new = found.read(before, dist), found.read(after, dist)
    if old and new and {type(one) for one in old.values()} != {type(one) for one in new.values()}:
        raise ConfigError(
            f"{before} and {after} are not of one kind: a lock cannot be compared with a manifest",
            hint="name two manifests, two locks, two releases, or two folders of either",
        )
    if len(old) == len(new) == 1:
        # Two files are compared whatever their targets are called.
        ((_, one),), ((name, other),) = old.items(), new.items()
        return [_diff(name, one, other)]
    return [_diff(name, old.get(name), new.get(name)) for name in sorted({*old, *new})]


def _diff(name: str, before: Found | None, after: Found | None) -> Diff:
    if isinstance(before or after, FoundLock):
        return _locks(name, before, after)
    old = before if isinstance(before, FoundManifest) else None
    new = after if isinstance(after, FoundManifest) else None
    return between(name, old, new)


def between(name: str, old: FoundManifest | None, new: FoundManifest | None) -> Diff:
    """Return what differs between two manifests, at least one.

    Args:
        name: Identifier of the target.
        old: The one before.
        new: The one after.
    """
    return Diff(
        identifier=name,
        before=_side(old),
        after=_side(new),
        distributions=_distributions(
            old.manifest.distributions if old else [], new.manifest.distributions if new else []
        ),
        files=_files(_sizes(old), _sizes(new)),
        imports=_imports(old, new),
        cold_start=_cold_starts(old, new),
        notes=_notes(old, new),
    )


def _locks(name: str, before: Found | None, after: Found | None) -> Diff:
    old = before.lock if isinstance(before, FoundLock) else None
    new = after.lock if isinstance(after, FoundLock) else _empty()
    return Diff(
        identifier=name,
        before=Side(name=before.path.name) if before else None,
        after=Side(name=after.path.name) if after else None,
        distributions=[
            DistributionChange(
                name=one.name, kind=_kind(one.kind), before=one.before, after=one.after
            )
            for one in document.changes(old, new)
        ],
    )


def _empty() -> Lock:
    return document.Lock([], "", {})


def _kind(kind: str) -> Kind:
    known: dict[str, Kind] = {
        "added": "added",
        "removed": "removed",
        "upgraded": "upgraded",
        "downgraded": "downgraded",
        "file": "file",
    }
    return known[kind]


def _side(one: FoundManifest | None) -> Side | None:
    if one is None:
        return None
    artifact = one.manifest.artifact
    return Side(
        name=one.path.name,
        version=one.manifest.version,
        zipped=artifact.zipped,
        unzipped=artifact.unzipped,
        files=artifact.files,
    )


def _sizes(one: FoundManifest | None) -> dict[str, int]:
    return {file.path: file.size for file in one.manifest.files} if one else {}


def _distributions(
    before: Iterable[Distribution], after: Iterable[Distribution]
) -> list[DistributionChange]:
    old = {one.name: one for one in before}
    new = {one.name: one for one in after}
    changes = [_distribution(name, old.get(name), new.get(name)) for name in {*old, *new}]
    differing = [change for change in changes if change]
    return sorted(differing, key=lambda one: (-abs(one.unzipped or 0), one.name))


def _distribution(
    name: str, old: Distribution | None, new: Distribution | None
) -> DistributionChange | None:
    unzipped = (new.unzipped if new else 0) - (old.unzipped if old else 0)
    zipped = (new.zipped if new else 0) - (old.zipped if old else 0)
    kind: Kind = "size"
    if old is None:
        kind = "added"
    elif new is None:
        kind = "removed"
    elif old.version != new.version:
        kind = _kind(document.VersionChange(name, old.version, new.version).kind)
    elif old.sha256 != new.sha256:
        kind = "file"
    elif not unzipped and not zipped:
        return None
    return DistributionChange(
        name=name,
        kind=kind,
        before=old.version if old else None,
        after=new.version if new else None,
        unzipped=unzipped,
        zipped=zipped,
    )


def _files(before: Mapping[str, int], after: Mapping[str, int]) -> Files:
    changes = [
        FileChange(path=path, before=before.get(path), after=after.get(path))
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]
    return Files(
        added=sum(one.before is None for one in changes),
        removed=sum(one.after is None for one in changes),
        resized=sum(one.before is not None and one.after is not None for one in changes),
        biggest=sorted(changes, key=lambda one: (-abs(one.growth), one.path))[:BIGGEST],
    )


def _imports(old: FoundManifest | None, new: FoundManifest | None) -> list[Timing]:
    before = old.beside(".importtime.json", ImportTree) if old else None
    after = new.beside(".importtime.json", ImportTree) if new else None
    if before is None and after is None:
        return []
    one = before.by_distribution if before else {}
    other = after.by_distribution if after else {}
    names = sorted({*one, *other}, key=lambda n: -abs(other.get(n, 0) - one.get(n, 0)))
    whole = Timing(name="all imports", before=_ms(before), after=_ms(after))
    return [
        whole,
        *(
            Timing(name=name, before=_thousandth(one.get(name)), after=_thousandth(other.get(name)))
            for name in names[:BIGGEST]
            if one.get(name) != other.get(name)
        ),
    ]


def _ms(tree: ImportTree | None) -> float | None:
    return _thousandth(tree.total_us) if tree else None


def _thousandth(microseconds: int | None) -> float | None:
    return None if microseconds is None else round(microseconds / 1000, 3)


def _cold_starts(old: FoundManifest | None, new: FoundManifest | None) -> list[Timing]:
    before = _phases(old.beside(".coldstart.json", ColdStartReport) if old else None)
    after = _phases(new.beside(".coldstart.json", ColdStartReport) if new else None)
    names = list(before) or list(after)
    return [Timing(name=name, before=before.get(name), after=after.get(name)) for name in names]


def _phases(report: ColdStartReport | None) -> dict[str, float]:
    layer = next((v for v in report.variants if v.name == "layer"), None) if report else None
    if report is None or layer is None:
        return {}
    phases = {
        "start to first answer": layer.total.median,
        "initialization": layer.init.median,
        "imports": layer.imports.median,
        "first call": layer.call.median,
    }
    return {name: round(value / report.factor, 2) for name, value in phases.items()}


def _notes(old: FoundManifest | None, new: FoundManifest | None) -> list[str]:
    reports = [
        one.beside(".coldstart.json", ColdStartReport) if one else None for one in (old, new)
    ]
    known = [report for report in reports if report]
    if len(known) == 2 and known[0].kind != known[1].kind:
        return [f"cold starts are not of one kind: {known[0].kind} before, {known[1].kind} after"]
    return []
