"""What differs between two artifacts or locks, as data: what `diff --json` prints, versioned."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from layersmith.assemble.manifest import ManifestPart

Kind = Literal["added", "removed", "upgraded", "downgraded", "file", "size"]
"""``file``: the same version from another file. ``size``: the same file, packed otherwise."""


class Side(ManifestPart):
    """One of the two."""

    name: str
    """File that it was read from."""
    version: str | None = None
    zipped: int | None = None
    """Bytes of the zip; None for a lock."""
    unzipped: int | None = None
    """Bytes of its content; None for a lock."""
    files: int | None = None


class DistributionChange(ManifestPart):
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


class FileChange(ManifestPart):
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


class Files(ManifestPart):
    """What became of the files."""

    added: int
    removed: int
    resized: int
    """Files of another size."""
    biggest: list[FileChange]
    """The largest changes, by bytes."""


class Timing(ManifestPart):
    """One duration, before and after, in milliseconds."""

    name: str
    before: float | None
    after: float | None


class Diff(ManifestPart):
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
