"""dist/ and the layer cache: whether a target is up to date, and how its files get there.

The manifest is written last, so that its presence says that zip and bill of materials are whole;
a run that was killed between the three leaves a zip that does not fit its manifest, which the next
run sees and replaces.
"""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith import cache
from layersmith.assemble import manifest as manifests
from layersmith.assemble import sbom
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
    try:
        # Whoever reads dist/ now must not find the old manifest beside the new zip.
        destination.manifest.unlink(missing_ok=True)
        for name in ("zip", "sbom", "manifest"):
            _copy(getattr(source, name), getattr(destination, name))
    except OSError as problem:
        raise cannot_write(destination.zip.parent, problem) from problem


def _copy(source: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    try:
        shutil.copyfile(source, temporary)
        temporary.replace(destination)
    finally:
        temporary.unlink(missing_ok=True)


def cannot_write(folder: Path, problem: OSError) -> BuildError:
    """Return the error that says why a folder cannot be written."""
    if problem.errno == errno.ENOSPC:
        return BuildError(
            f"the disk is full: {folder}",
            cause="no space is left on the device",
            hint="free some space and run the build again; nothing half-written was left",
        )
    return BuildError(
        f"{folder} cannot be written: {problem.strerror or problem}",
        cause="the folder is read-only, or belongs to another user",
        hint="change its permissions, or name another folder with --dist",
    )
