"""How large a release is: what changed between two builds of a layer, and the bump it asks for.

The rules are those of Semantic Versioning 2.0.0 read for a layer: what functions import from it is
its public interface, so that a distribution that goes, or moves to another major version, may
break them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from packaging.version import Version

from layersmith.base import versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layersmith.assemble.manifest import Distribution, Manifest


class Bump(IntEnum):
    """Part of a semantic version that is raised, by its weight."""

    NONE = 0
    PATCH = 1
    MINOR = 2
    MAJOR = 3


@dataclass(frozen=True, order=True)
class ReleaseChange:
    """One thing that differs from the last release.

    Attributes:
        bump: The least bump it asks for.
        text: What differs, for the changelog: ``numpy 1.26.4 -> 2.3.5``.
    """

    bump: Bump
    text: str


def raised(version: str, bump: Bump) -> str:
    """Return the version that follows, ``1.2.3`` by MINOR to ``1.3.0``."""
    current = versions.order(version)
    steps = {
        Bump.NONE: current,
        Bump.PATCH: current.bump_patch(),
        Bump.MINOR: current.bump_minor(),
        Bump.MAJOR: current.bump_major(),
    }
    return str(steps[bump])


def pre_release(final: str, current: str, word: str) -> str:
    """Return the next pre-release of a version: ``1.2.0-rc.1``, or ``-rc.2`` after it.

    Args:
        final: The version that it comes before, ``1.2.0``.
        current: The version in layers.yaml, perhaps an earlier pre-release of it.
        word: ``alpha``, ``beta`` or ``rc``.
    """
    now, wanted = versions.order(current), versions.order(final)
    same = now.finalize_version() == wanted and (now.prerelease or "").split(".")[0] == word
    return str((now if same else wanted).bump_prerelease(word))


def changes(old: Mapping[str, Manifest], new: Mapping[str, Manifest]) -> list[ReleaseChange]:
    """Return what differs between two builds of one layer, heaviest first, each thing once.

    Args:
        old: Identifier of a target -> its manifest in the last release.
        new: The same for the present build.
    """
    found = {
        ReleaseChange(Bump.MAJOR, f"no longer built for {name}") for name in set(old) - set(new)
    }
    found |= {ReleaseChange(Bump.MINOR, f"built for {name}, too") for name in set(new) - set(old)}
    for name in set(old) & set(new):
        found |= _of_target(old[name], new[name])
    return sorted(found, key=lambda change: (-change.bump, change.text))


def required(found: list[ReleaseChange]) -> Bump:
    """Return the least bump that fits all changes."""
    return max((change.bump for change in found), default=Bump.NONE)


def _of_target(old: Manifest, new: Manifest) -> set[ReleaseChange]:
    before = {dist.name: dist for dist in old.distributions}
    after = {dist.name: dist for dist in new.distributions}
    found = {
        ReleaseChange(Bump.MAJOR, f"{name} {before[name].version} removed")
        for name in set(before) - set(after)
    }
    found |= {
        ReleaseChange(Bump.MINOR, f"{name} {after[name].version} added")
        for name in set(after) - set(before)
    }
    found |= {
        ReleaseChange(Bump.MAJOR, f"{path} removed") for path in _own_files(old) - _own_files(new)
    }
    for name in set(before) & set(after):
        found |= _of_distribution(before[name], after[name])
    if not found and old.artifact.sha256 != new.artifact.sha256:
        found.add(ReleaseChange(Bump.PATCH, "rebuilt: other bytes with the same distributions"))
    return found


def _own_files(manifest: Manifest) -> set[str]:
    """Return the paths of the files that do not belong to a distribution."""
    return {one.path for one in manifest.inputs.files}


def _of_distribution(old: Distribution, new: Distribution) -> set[ReleaseChange]:
    found = {
        ReleaseChange(Bump.MAJOR, f"{new.name}: module {module} removed")
        for module in set(old.modules) - set(new.modules)
    }
    if new.origin == "stub" and old.origin != "stub":
        found.add(ReleaseChange(Bump.MAJOR, f"{new.name} replaced by a stub"))
    if old.version != new.version:
        text = f"{new.name} {old.version} -> {new.version}"
        found.add(ReleaseChange(Bump.MAJOR if _major(old, new) else Bump.PATCH, text))
    return found


def _major(old: Distribution, new: Distribution) -> bool:
    before, after = Version(old.version), Version(new.version)
    return (before.epoch, before.major) != (after.epoch, after.major)
