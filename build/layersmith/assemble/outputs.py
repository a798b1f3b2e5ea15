"""dist/ and the layer cache: whether a target is up to date, and how its files get there.

The manifest is written last, so that its presence says that zip and bill of materials are whole;
a run that was killed between the three leaves a zip that does not fit its manifest, which the next
run sees and replaces.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from layersmith import cache
from layersmith.assemble import manifest as manifests
from layersmith.assemble.bill import sbom
from layersmith.base import disk
from layersmith.base.models import StrictModel
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from layersmith.assemble.bill.wheel_sboms import Embedded
    from layersmith.assemble.manifest import Manifest
    from layersmith.plan import Target

INDEX, LATEST = "index.json", "latest"
"""In dist/: the list of what was built last, and the folder of names without versions."""


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


def paths(folder: Path, targets: Sequence[Target]) -> list[Path]:
    """Return what a build of targets leaves in dist/."""
    found = [folder, folder / LATEST, folder / INDEX]
    for target in targets:
        here = Outputs.of(target, folder)
        found += [here.zip, here.manifest, here.sbom, _latest(folder, target)]
    return found


def _latest(folder: Path, target: Target) -> Path:
    return folder / LATEST / f"{target.identifier}.zip"


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


def describe_files(outputs: Outputs, manifest: Manifest, inside: Mapping[str, Embedded]) -> None:
    """Write the bill of materials, with those inside its wheels, and then the manifest of a zip."""
    cache.write_text(outputs.sbom, sbom.render(manifest, inside))
    manifests.write(manifest, outputs.manifest)


class DistArtifact(StrictModel):
    """A zip of dist/, and where the rest of it is; paths are relative to dist/."""

    kind: Literal["layer", "function"]
    """``function`` for the package of one."""
    name: str
    """Name in layers.yaml."""
    version: str | None
    """Semantic version; null for the package of a function."""
    runtime: str
    architecture: str
    file: str
    """The zip under its versioned name."""
    latest: str
    """The same bytes under a name that stays."""
    sha256: str
    """SHA-256 of the zip in hex."""
    code_sha256: str
    """SHA-256 of the zip in base64, as Lambda reports it."""
    zipped: int
    """Bytes of the zip."""
    unzipped: int
    """Bytes of its content."""
    manifest: str

    @property
    def identifier(self) -> str:
        """Name of its target."""
        return f"{self.name}-{self.runtime}-{self.architecture}"


class DistIndex(StrictModel):
    """dist/index.json: what was built last of every target."""

    format: Literal[1] = 1
    artifacts: list[DistArtifact] = Field(default_factory=list)


class Shelf:
    """dist/ with its index and its names without versions, for all threads of a run.

    An entry is taken away before its files change and comes back after, so that the index never
    says what is not there, whenever a run is killed.

    Args:
        folder: The folder of the artifacts.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._threads = threading.Lock()
        self._known: tuple[tuple[int, ...], dict[str, DistArtifact]] | None = None

    def place(self, source: Outputs, target: Target, manifest: Manifest) -> None:
        """Bring a target's files from the cache to dist/.

        Raises:
            BuildError: dist/ cannot be written.
        """
        here = Outputs.of(target, self._folder)
        with disk.explained(BuildError, dist=self._folder):
            with self._locked():
                found = self._read()
                if found.pop(target.identifier, None):
                    self._write(found)
            # Whoever reads dist/ now must not find the old manifest beside the new zip.
            here.manifest.unlink(missing_ok=True)
            for name in ("zip", "sbom", "manifest"):
                _copy(getattr(source, name), getattr(here, name))
        self.keep(target, manifest)

    def keep(self, target: Target, manifest: Manifest) -> None:
        """Let the index and the name without a version lead to what is in dist/ of a target.

        Raises:
            BuildError: dist/ cannot be written.
        """
        with disk.explained(BuildError, dist=self._folder), self._locked():
            found = self._read()
            self._take(found, target, manifest)

    def tidy(self, targets: Sequence[Target]) -> None:
        """Leave in the index what is there of ``targets``, which are all of layers.yaml.

        Raises:
            BuildError: dist/ cannot be written.
        """
        with disk.explained(BuildError, dist=self._folder), self._locked():
            found = self._read()
            known = {target.identifier: target for target in targets}
            kept = {n: one for n, one in found.items() if n in known and self._is_there(one)}
            if kept != found:
                self._write(kept)
            for name in known.keys() - kept.keys():
                here = Outputs.of(known[name], self._folder)
                if here.manifest.is_file() and (manifest := current(here)):
                    self._take(kept, known[name], manifest)
            for path in (self._folder / LATEST).glob("*.zip"):
                if path.stem not in kept:
                    path.unlink()

    def _take(self, found: dict[str, DistArtifact], target: Target, manifest: Manifest) -> None:
        here = Outputs.of(target, self._folder)
        entry = DistArtifact(
            kind="function" if target.function else "layer",
            name=target.layer,
            version=None if target.function else target.version,
            runtime=target.runtime.name,
            architecture=target.architecture,
            file=here.zip.name,
            latest=f"{LATEST}/{target.identifier}.zip",
            sha256=manifest.artifact.sha256,
            code_sha256=manifest.artifact.code_sha256,
            zipped=manifest.artifact.zipped,
            unzipped=manifest.artifact.unzipped,
            manifest=here.manifest.name,
        )
        latest = self._folder / entry.latest
        same = _is_same(here.zip, latest, entry.sha256)
        if same and found.get(target.identifier) == entry:
            return
        if found.pop(target.identifier, None):
            self._write(found)
        if not same:
            _link(here.zip, latest)
        found[target.identifier] = entry
        self._write(found)

    def _is_there(self, entry: DistArtifact) -> bool:
        paths = [self._folder / one for one in (entry.file, entry.latest, entry.manifest)]
        return all(one.is_file() for one in paths) and all(
            one.stat().st_size == entry.zipped for one in paths[:2]
        )

    def _read(self) -> dict[str, DistArtifact]:
        path = self._folder / INDEX
        try:
            if self._known is not None and _state(path) == self._known[0]:
                return dict(self._known[1])
            found = DistIndex.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return {}
        return self._remember({one.identifier: one for one in found.artifacts})

    def _remember(self, found: dict[str, DistArtifact]) -> dict[str, DistArtifact]:
        """Keep what the index says, so that not every target of a run reads all of it again."""
        self._known = (_state(self._folder / INDEX), dict(found))
        return found

    def _write(self, found: dict[str, DistArtifact]) -> None:
        index = DistIndex(artifacts=[found[name] for name in sorted(found)])
        text = json.dumps(index.model_dump(mode="json"), indent=1) + "\n"
        cache.write_text(self._folder / INDEX, text)
        self._remember(found)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one thread, and one process, change the index at a time."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._threads:
            handle = os.open(self._folder, os.O_RDONLY)
            try:
                # Not all network drives lock folders; runs at once on one are rare.
                with contextlib.suppress(OSError):
                    fcntl.flock(handle, fcntl.LOCK_EX)
                yield
            finally:
                os.close(handle)


def _state(path: Path) -> tuple[int, ...]:
    """Return what changes with every write of a file that is renamed into its place."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _is_same(path: Path, latest: Path, sha256: str) -> bool:
    """Whether a name without a version leads to the bytes of a zip."""
    if not latest.is_file():
        return False
    return latest.samefile(path) or cache.sha256_file(latest) == sha256


def _link(source: Path, destination: Path) -> None:
    """Give a file a second name at once: a hard link, or a copy where there are none."""
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    destination.parent.mkdir(exist_ok=True)
    try:
        temporary.unlink(missing_ok=True)
        os.link(source, temporary)
        temporary.replace(destination)
    except OSError:
        _copy(source, destination)
    finally:
        temporary.unlink(missing_ok=True)


def _copy(source: Path, destination: Path) -> None:
    with source.open("rb") as stream, cache.atomic_writer(destination) as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)
