"""dist/ and the layer cache: whether a target is up to date, and how its files get there.

The manifest is written last, so that its presence says that zip and bill of materials are whole;
a run that was killed between the three leaves a zip that does not fit its manifest, which the next
run sees and replaces.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith import cache
from layersmith.assemble import manifest as manifests
from layersmith.assemble import sbom
from layersmith.base import disk
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.plan import Target


@dataclass(frozen=True)
class Outputs:
    """The three files of a target in one folder."""

    zip: Path
    manifest: Path
    sbom: Path

    @classmethod
    def of(cls, target: Target, folder: Path) -> Outputs:
        """Return where the files of ``target`` are in ``folder``."""
        return cls(
            folder / f"{target.stem}.zip",
            folder / f"{target.stem}.json",
            folder / f"{target.stem}.cdx.json",
        )


def built(targets: Sequence[Target], folder: Path) -> list[tuple[Path, Manifest]]:
    """Return the zips and manifests of targets.

    Raises:
        BuildError: One is not in the folder.
    """
    found = [Outputs.of(target, folder) for target in targets]
    return [(one.zip, manifests.read(one.manifest)) for one in found]


def cache_folder(digest: str) -> Path:
    """Return where the layer cache keeps what inputs with this digest make."""
    return cache.cache_root() / "layers" / digest


def current(outputs: Outputs, digest: str | None = None) -> Manifest | None:
    """Return the manifest if all three files are there, fit each other, and fit the inputs.

    Args:
        outputs: The files.
        digest: Digest of the inputs; None accepts any.
    """
    try:
        manifest = manifests.read(outputs.manifest)
        if digest is not None and manifest.inputs.digest != digest:
            return None
        if not outputs.sbom.is_file() or cache.sha256_file(outputs.zip) != manifest.artifact.sha256:
            return None
    except (BuildError, OSError):
        return None
    return manifest


def describe_files(outputs: Outputs, manifest: Manifest) -> None:
    """Write the bill of materials and then the manifest beside a zip."""
    cache.write_text(outputs.sbom, sbom.render(manifest))
    manifests.write(manifest, outputs.manifest)


def place(source: Outputs, destination: Outputs) -> None:
    """Bring a target's files from the cache to dist/.

    Raises:
        BuildError: dist/ cannot be written.
    """
    with disk.explained(BuildError, dist=destination.zip.parent):
        # Whoever reads dist/ now must not find the old manifest beside the new zip.
        destination.manifest.unlink(missing_ok=True)
        for name in ("zip", "sbom", "manifest"):
            _copy(getattr(source, name), getattr(destination, name))


def _copy(source: Path, destination: Path) -> None:
    with source.open("rb") as stream, cache.atomic_writer(destination) as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)
