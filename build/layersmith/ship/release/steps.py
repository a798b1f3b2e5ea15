"""Decides a layer's next version and writes it down: layers.yaml, changelog, commit and tag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from layersmith import cache
from layersmith.assemble import manifest as manifests
from layersmith.base import versions
from layersmith.errors import ConfigError, ShipError
from layersmith.ship.release import bumps, tagging
from layersmith.ship.release.bumps import Bump, ReleaseChange

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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
    current: str,
    asked: Bump | None,
    *,
    last: str | None,
    found: list[ReleaseChange],
    force: str | None = None,
    pre: str | None = None,
) -> Release:
    """Return the release that is asked for, if it fits what changed.

    Args:
        layer: Name of the layer.
        current: Its version in layers.yaml.
        asked: The bump that is asked for; None takes the least that fits.
        last: Version of the last release that is not a pre-release; None for the first release,
            which keeps the version.
        found: What changed since then.
        force: Why another bump is right.
        pre: ``rc`` for a pre-release.

    Raises:
        ShipError: The bump is smaller than the changes ask for, nothing changed, or the version
            would not be a later one.
    """
    if last is None:
        final, fits = str(versions.order(current).finalize_version()), True
    else:
        need = bumps.required(found)
        bump = need if asked is None else asked
        fits = Bump.NONE < bump >= need > Bump.NONE
        if not fits and not force:
            raise _does_not_fit(layer, bump, need, found)
        final = bumps.raised(last, max(bump, Bump.PATCH))
    new = bumps.pre_release(final, current, pre) if pre else final
    if last is not None and versions.order(new) <= versions.order(current):
        raise ShipError(
            f"{new} is not later than {current}, the version in layers.yaml",
            target=layer,
            cause=f"--baseline holds {last}, and the changes since ask for no more",
            hint="pass a larger --bump, or the manifests of the last release as --baseline",
        )
    return Release(layer, current, new, found, None if fits else force)


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
        ShipError: One has no bytecode, although layers.yaml asks for it.
    """
    built = {t.identifier: manifests.read(dist / f"{t.stem}.json") for t in targets}
    tagging.refuse_plain(built)
    return built


def read_baseline(layer: str, folder: Path) -> dict[str, Manifest]:
    """Return the manifests of a layer's last release from a folder, whatever their version.

    Raises:
        BuildError: One is damaged.
        ShipError: There is none, there are several versions, or they are of a pre-release.
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
    if versions.is_prerelease(found[0].version):
        raise ShipError(
            f"{folder} holds the manifests of {found[0].version}, a pre-release",
            cause="a release is compared with the last one that was not a pre-release",
            hint="put the manifests of that one there, or leave --baseline out if there is none",
        )
    return {manifest.identifier: manifest for manifest in found}


def _is_manifest(path: Path, layer: str) -> bool:
    rest = path.name.removeprefix(f"{layer}-")
    return bool(re.fullmatch(r"\d+\.\d+\.\d+.*-python3\.\d+-(arm64|x86_64)\.json", rest))


def write(
    release: Release, loaded: LoadedConfig, built: Mapping[str, Manifest], inputs: Sequence[Path]
) -> str:
    """Write version and changelog, commit and tag; return the commit's id.

    Args:
        release: What is released.
        loaded: layers.yaml.
        built: Identifier of a target -> its manifest in the present build.
        inputs: What the layer is built from.

    Raises:
        ShipError: The tag is there, an input is not committed, the commit builds other zips, or
            git refused; nothing is edited.
    """
    made = _commit(release, loaded, built, inputs)
    tagging.move(loaded.root, made, release.tag)
    return made.id


def offer(
    release: Release, loaded: LoadedConfig, built: Mapping[str, Manifest], inputs: Sequence[Path]
) -> str:
    """Write version and changelog to a commit on a branch of its own, for a pull request.

    Args, Returns and Raises are those of write; branch and work tree stay as they are.
    """
    made = _commit(release, loaded, built, inputs)
    tagging.offer(loaded.root, made, tagging.branch_name(release.tag))
    return made.id


def tag_merged(
    layer: str, loaded: LoadedConfig, built: Mapping[str, Manifest], inputs: Sequence[Path]
) -> tuple[str, str]:
    """Tag HEAD as the release whose pull request was merged; return the tag and the commit's id.

    Args:
        layer: Name of the layer.
        loaded: layers.yaml.
        built: Identifier of a target -> its manifest in the present build.
        inputs: What the layer is built from.

    Raises:
        ShipError: The tag is there, the changelog has no section of it, an input is not committed,
            the commit builds other zips, or git refused.
    """
    root = loaded.root
    tag = tagging.tag_name(layer, loaded.config.layers[layer].version)
    _check(tag, layer, loaded, inputs)
    head = tagging.head(root, unless=tagging.branch_name(tag))
    body = bumps.section_body(bumps.read_changelog(root / CHANGELOG), tag)
    tagging.compare_rebuilt(root, head, loaded.path.name, layer, built)
    tagging.tag_head(root, tag, head, f"Release {tag}\n\n{body}\n")
    return tag, head


def _commit(
    release: Release, loaded: LoadedConfig, built: Mapping[str, Manifest], inputs: Sequence[Path]
) -> tagging.Commit:
    """Make the commit of a release, and build it in a clean work tree."""
    root = loaded.root
    check(release, loaded, inputs)
    day = datetime.now(UTC).date()
    before = bumps.read_changelog(root / CHANGELOG)
    section = bumps.new_section(release.tag, day, release.found, forced=release.forced)
    files = {
        loaded.path.name: with_version(loaded, release.layer, release.version),
        CHANGELOG: bumps.add_section(before, section),
    }
    body = "\n".join(section.splitlines()[2:])
    made = tagging.commit(root, files, f"Release {release.tag}\n\n{body}\n")
    tagging.compare_rebuilt(root, made.id, loaded.path.name, release.layer, built)
    return made


def check(release: Release, loaded: LoadedConfig, inputs: Sequence[Path]) -> None:
    """Refuse what would make a release fail, as far as that is known without building its commit.

    Raises:
        ShipError: The tag is there, a later version is released, or an input is not committed.
    """
    _check(release.tag, release.layer, loaded, inputs)
    final = str(versions.order(release.version).finalize_version())
    if tagging.exists(loaded.root, tagging.tag_name(release.layer, final)):
        raise ShipError(
            f"{final} is released already, and {release.version} comes before it",
            target=release.layer,
            cause="without --baseline it is taken for the first release",
            hint="pass the folder with the last release's manifests as --baseline",
        )


def _check(tag: str, layer: str, loaded: LoadedConfig, inputs: Sequence[Path]) -> None:
    """Refuse what would make a release fail, before anything is made."""
    root = loaded.root
    if tagging.exists(root, tag):
        raise ShipError(
            f"the tag {tag} is there already",
            target=layer,
            cause="this version was released before",
            hint=f"push it: `git push origin {tag}`; for the next version pass the manifests of "
            "this one as --baseline",
        )
    tagging.require_identity(root)
    tagging.refuse_edited(root, [loaded.path, root / CHANGELOG, *inputs])


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


def elsewhere(config: Config, tags: Sequence[str]) -> list[dict[str, str]]:
    """Return the releases of layers that layers.yaml does not name with their version.

    Args:
        config: layers.yaml.
        tags: Tags of releases; those of other things are left out.
    """
    named = {tagging.tag_name(name, layer.version) for name, layer in config.layers.items()}
    found = {tag: tagging.layer_of(tag) for tag in tags if tag not in named}
    return [{"tag": tag, "layer": layer} for tag, layer in found.items() if layer]


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
        BuildError: A manifest is damaged.
        ShipError: A zip is missing on one side, or has other bytes; all are named. Or a manifest
            beside one says that it lacks its bytecode.
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
    beside = [path.with_suffix(".json") for path in one.values()]
    told = [manifests.read(path) for path in beside if path.is_file()]
    tagging.refuse_plain({manifest.identifier: manifest for manifest in told})
    return len(one)
