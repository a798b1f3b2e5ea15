"""Finds manifests and locks: by file, by folder, or by release."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from layersmith.assemble import manifest as manifests
from layersmith.base import disk
from layersmith.base.versions import order
from layersmith.errors import BuildError
from layersmith.lock import document

if TYPE_CHECKING:
    from collections.abc import Iterable


Model = TypeVar("Model", bound=BaseModel)

RELEASE = re.compile(r"(?P<layer>[a-z0-9][a-z0-9-]*)@(?P<version>\d+\.\d+\.\d+\S*)")
"""A release as it is asked for: ``chromadb-vector@1.0.0``."""

MANIFEST = re.compile(r".+-python3\.\d+-(?:arm64|x86_64)\.json")
"""Name of a manifest; other records of the same artifact have one more suffix."""


TOOL_LOCKS = ("jobs.txt", "tools.txt")
"""Locks of the tool itself, which lie beside those of layers."""


class Found:
    """A manifest or lock with the file it was read from."""

    def __init__(self, path: Path) -> None:
        self.path = path


class FoundManifest(Found):
    """A manifest, and what was measured of its artifact, where that lies beside it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.manifest = manifests.read(path)

    def beside(self, suffix: str, model: type[Model]) -> Model | None:
        """Return a record of the same artifact; None where there is none that can be read."""
        try:
            return model.model_validate_json(self.path.with_suffix(suffix).read_bytes())
        except (OSError, ValidationError):
            return None


class FoundLock(Found):
    """A lock."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.lock = document.read(path)


def read(source: Path | str, dist: Path) -> dict[str, Found]:
    """Return the manifests or locks of a file, a folder, or a release, by target.

    Args:
        source: A file, a folder, or a release such as ``imaging@1.0.0``.
        dist: Folder in which releases are looked for.

    Raises:
        LayersmithError: Nothing is there, or it is damaged.
    """
    release = RELEASE.fullmatch(str(source))
    path = Path(source)
    if release and not path.exists():
        return _release(release["layer"], release["version"], dist)
    if path.is_dir():
        disk.require_readable(path)
        return _folder(path)
    if not path.is_file():
        raise BuildError(
            f"{path} does not exist",
            hint="name a manifest, a lock, a folder of either, or a release: imaging@1.0.0",
        )
    return dict([_one(path)])


def _one(path: Path) -> tuple[str, Found]:
    if path.suffix == ".json":
        found = FoundManifest(path)
        return found.manifest.identifier, found
    return path.stem, FoundLock(path)


def _release(layer: str, version: str, dist: Path) -> dict[str, Found]:
    found = {
        name: one
        for name, one in manifests_of(dist.rglob(f"{layer}-{version}-*.json")).items()
        if one.manifest.layer == layer and one.manifest.version == version
    }
    if not found:
        raise BuildError(
            f"no manifest of {layer} {version} is in {dist}",
            hint="`python build/layers.py publish fetch` gets released files back",
        )
    return dict(found)


def _folder(path: Path) -> dict[str, Found]:
    found: dict[str, Found] = dict(manifests_of(path.glob("*.json")))
    if not found:
        locks = [one for one in sorted(path.glob("*.txt")) if one.name not in TOOL_LOCKS]
        found = dict(_one(one) for one in locks)
    if not found:
        raise BuildError(f"{path} holds neither manifests nor locks")
    return found


def manifests_of(paths: Iterable[Path]) -> dict[str, FoundManifest]:
    """Return the newest manifest of each target."""
    newest: dict[str, FoundManifest] = {}
    for path in sorted(paths):
        if not MANIFEST.fullmatch(path.name):
            continue
        found = FoundManifest(path)
        name = found.manifest.identifier
        known = newest.get(name)
        if known is None or order(known.manifest.version) < order(found.manifest.version):
            newest[name] = found
    return newest
