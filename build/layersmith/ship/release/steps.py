"""Decides a layer's next version and writes it down: layers.yaml, changelog, commit and tag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from layersmith import cache, lock
from layersmith.assemble import manifest as manifests
from layersmith.config.models import RequirementsFile
from layersmith.errors import ConfigError, LockError, ShipError
from layersmith.lock import requirements
from layersmith.ship.release import bumps, changelog, tagging
from layersmith.ship.release.bumps import Bump, ReleaseChange

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.config.loader import LoadedConfig
    from layersmith.config.models import Config
    from layersmith.plan import Target

CHANGELOG = "CHANGELOG.md"


@dataclass(frozen=True)
class Release:
    """A release that is decided.

    Attributes:
        layer: Name of the layer.
        old: Its version in layers.yaml.
        version: Its new version.
        found: What changed since the last release.
        forced: Why the bump is smaller than it should be, where it is.
    """

    layer: str
    old: str
    version: str
    found: list[ReleaseChange]
    forced: str | None = None

    @property
    def tag(self) -> str:
        """Name of the tag."""
        return tagging.tag_name(self.layer, self.version)


def decide(
    layer: str,
    version: str,
    asked: Bump | None,
    *,
    found: list[ReleaseChange] | None,
    force: str | None = None,
) -> Release:
    """Return the release that is asked for, if it fits what changed.

    Args:
        layer: Name of the layer.
        version: Its version in layers.yaml, the one that was released last.
        asked: The bump that is asked for; None takes the least that fits.
        found: What changed; None for the first release, which keeps the version.
        force: Why another bump is right.

    Raises:
        ShipError: The bump is smaller than the changes ask for, or nothing changed.
    """
    if found is None:
        return Release(layer, version, version, [], force)
    need = bumps.required(found)
    bump = need if asked is None else asked
    fits = Bump.NONE < bump >= need > Bump.NONE
    if not fits and not force:
        raise _does_not_fit(layer, bump, need, found)
    new = bumps.raised(version, max(bump, Bump.PATCH))
    return Release(layer, version, new, found, None if fits else force)


def _does_not_fit(layer: str, bump: Bump, need: Bump, found: Sequence[ReleaseChange]) -> ShipError:
    if need is Bump.NONE:
        return ShipError(
            "nothing changed since the last release",
            target=layer,
            cause="the present build has the same bytes as the last release",
            hint='build first, or pass --force "REASON"',
        )
    heaviest = "; ".join(change.text for change in found if change.bump is need)
    return ShipError(
        f"a {bump.name.lower()} release does not fit: {heaviest}",
        target=layer,
        cause=f"that asks for --bump {need.name.lower()}",
        hint=f'use it, or pass --force "REASON"; {CHANGELOG} will say the reason',
    )


def read_manifests(targets: Sequence[Target], dist: Path) -> dict[str, Manifest]:
    """Return the manifests of the present build.

    Raises:
        BuildError: One is missing or damaged.
    """
    return {t.identifier: manifests.read(dist / f"{t.stem}.json") for t in targets}


def read_baseline(layer: str, folder: Path) -> dict[str, Manifest]:
    """Return the manifests of a layer's last release from a folder, whatever their version.

    Raises:
        BuildError: One is damaged.
        ShipError: There is none, or there are several versions.
    """
    # An SBOM lies beside every manifest; its suffix has one dot more.
    paths = sorted(path for path in folder.glob(f"{layer}-*.json") if _is_manifest(path, layer))
    found = [manifests.read(path) for path in paths]
    if not found:
        raise ShipError(
            f"no manifest of {layer} is in {folder}",
            hint="put the manifests of the last release there: they are attached to it",
        )
    if len({manifest.version for manifest in found}) > 1:
        raise ShipError(
            f"{folder} holds manifests of several versions of {layer}",
            hint="keep only those of the last release",
        )
    return {manifest.identifier: manifest for manifest in found}


def _is_manifest(path: Path, layer: str) -> bool:
    rest = path.name.removeprefix(f"{layer}-")
    return bool(re.fullmatch(r"\d+\.\d+\.\d+.*-python3\.\d+-(arm64|x86_64)\.json", rest))


def inputs(targets: Sequence[Target], root: Path) -> list[Path]:
    """Return the files and folders below the folder of layers.yaml that a layer is built from.

    Args:
        targets: The layer's targets.
        root: Folder of layers.yaml.

    Raises:
        LockError: A lock or a requirements file cannot be read.
    """
    found: set[Path] = set()
    for target in targets:
        settings = target.settings
        path = lock.lock_path(target, root)
        found |= {path, *(root / folder for folder in _folders(path, target))}
        found |= {root / source for source in settings.files.values()}
        found |= {root / stub.path for stub in settings.stubs.values()}
        found |= {root / settings.smoke} if settings.smoke else set()
        found |= {target.book.team} if target.book.team else set()
        for listed in (settings.requirements, settings.constraints):
            if isinstance(listed, RequirementsFile):
                found |= set(requirements.read(root / listed.file, root).files)
    return sorted(path for path in found if path.exists())


def _folders(path: Path, target: Target) -> list[str]:
    """Return the local packages of a target; a lock that is no lock names none beside its own."""
    try:
        return lock.folders(lock.read(path), target)
    except LockError:
        return list(target.settings.packages)


def write(release: Release, loaded: LoadedConfig, targets: Sequence[Target]) -> str:
    """Write version and changelog, commit and tag; return the commit's id.

    Args:
        release: What is released.
        loaded: layers.yaml.
        targets: The layer's targets.

    Raises:
        ShipError: The tag is there, an input is not committed, or git refused; nothing is edited.
    """
    root = loaded.root
    if tagging.exists(root, release.tag):
        raise ShipError(f"the tag {release.tag} is there already", target=release.layer)
    tagging.require_identity(root)
    tagging.refuse_edited(root, [loaded.path, root / CHANGELOG, *inputs(targets, root)])
    day = datetime.now(UTC).date()
    before = changelog.read(root / CHANGELOG)
    section = changelog.section(release.tag, day, release.found, forced=release.forced)
    files = {
        loaded.path.name: with_version(loaded, release.layer, release.version),
        CHANGELOG: changelog.add(before, section),
    }
    body = "\n".join(section.splitlines()[2:])
    return tagging.commit(root, files, release.tag, f"Release {release.tag}\n\n{body}\n")


def with_version(loaded: LoadedConfig, layer: str, version: str) -> str:
    """Return layers.yaml with one layer's version changed and nothing else touched.

    Raises:
        ConfigError: The version does not stand on a line of its own.
    """
    lines = loaded.path.read_bytes().decode().splitlines(keepends=True)
    position = loaded.position("layers", layer, "version")
    line = lines[position.line - 1]
    old = re.escape(loaded.config.layers[layer].version)
    new, count = re.subn(rf"(version:\s*)(['\"]?){old}\2", rf"\g<1>\g<2>{version}\g<2>", line)
    if count != 1:
        raise ConfigError(
            f"{loaded.path.name}:{position.line}: the version of {layer} cannot be changed here",
            hint="write it on a line of its own, as `version: 1.2.0`",
        )
    lines[position.line - 1] = new
    return "".join(lines)


def of_tag(config: Config, tag: str) -> str:
    """Return the layer that a tag releases.

    Raises:
        ConfigError: No layer of layers.yaml has this version.
    """
    for name, layer in config.layers.items():
        if tagging.tag_name(name, layer.version) == tag:
            return name
    have = ", ".join(tagging.tag_name(n, layer.version) for n, layer in config.layers.items())
    raise ConfigError(
        f"{tag} is not the tag of a layer as layers.yaml has it",
        cause=f"layers.yaml has {have}",
        hint="make tags by `python build/layers.py release LAYER`",
    )


def same_bytes(first: Path, second: Path) -> int:
    """Compare the zips of two builds; return their number.

    Args:
        first: Folder of one build, searched through.
        second: Folder of the other.

    Raises:
        ShipError: A zip is missing on one side, or has other bytes; all are named.
    """
    one, two = ({p.name: p for p in sorted(d.rglob("*.zip"))} for d in (first, second))
    wrong = [f"{name} is in only one of them" for name in sorted(one.keys() ^ two.keys())]
    for name in sorted(one.keys() & two.keys()):
        digests = [cache.sha256_file(path) for path in (one[name], two[name])]
        if digests[0] != digests[1]:
            wrong.append(f"{name}: {digests[0][:12]} and {digests[1][:12]}")
    if wrong or not one:
        raise ShipError(
            f"the two builds differ: {'; '.join(wrong) or 'there are no zips'}",
            cause="something that is not in the lock decides the bytes",
            hint="`python build/layers.py diff` shows which files differ",
        )
    return len(one)
