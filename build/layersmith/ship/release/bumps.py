"""How large a release is: what changed between two builds of a layer, and the bump it asks for.

The rules are those of Semantic Versioning 2.0.0 read for a layer: what functions import from it is
its public interface, so that a distribution that goes, or moves to another major version, may break
them.

What changed also goes into CHANGELOG.md, in the form of Keep a Changelog 1.1.0, one section a
release of a layer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from packaging.version import Version

from layersmith.base import damage, versions
from layersmith.errors import ShipError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from pathlib import Path

    from layersmith.assemble.manifest import Distribution, Manifest

HEADER = """# Changelog

All notable changes of the tool and of the layers. A layer has its own semantic version; its
sections are named for its tag.
"""

_SECTION = re.compile(r"^## \[(?!Unreleased\])", re.MULTILINE)


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


def read_changelog(path: Path) -> str:
    """Return a changelog; empty where there is none yet.

    Raises:
        ShipError: It is not UTF-8.
    """
    with damage.told(path.name, ShipError, kind="changelog", hint="save it as UTF-8"):
        text = path.read_bytes().decode() if path.is_file() else ""
        if "\0" in text:  # UTF-16 without a mark decodes, too
            raise ValueError("it holds zero bytes")
    return text


def new_section(tag: str, day: date, found: list[ReleaseChange], *, forced: str | None) -> str:
    """Return the section of one release.

    Args:
        tag: Its tag, ``chromadb-vector-v1.2.0``.
        day: Its date, in UTC.
        found: What changed.
        forced: Why the bump is smaller than the changes ask for, where it is.
    """
    lines = [f"## [{tag}] - {day.isoformat()}", ""]
    if forced:
        lines += [f"The version was chosen by hand: {forced}", ""]
    lines += [f"- {change.text}" for change in found] or ["- First release."]
    return "\n".join([*lines, ""])


def add_section(text: str, new: str) -> str:
    """Return the changelog with a section put above the newest one, in the line ends it has.

    Args:
        text: The changelog; empty where there is none yet.
        new: The section.
    """
    text = text or HEADER
    end = "\r\n" if "\r\n" in text else "\n"
    new = new.replace("\n", end)
    newest = _SECTION.search(text)
    if newest is None:
        return f"{text.rstrip()}{end}{end}{new}"
    return f"{text[: newest.start()]}{new}{end}{text[newest.start() :]}"


def section_body(text: str, tag: str) -> str:
    """Return what a changelog says of a release, without the heading.

    Args:
        text: The changelog.
        tag: Tag of the release.

    Raises:
        ShipError: It has no section of that name.
    """
    for part in _SECTION.split(text)[1:]:
        name, _, rest = part.partition("]")
        if name == tag:
            return rest.partition("\n")[2].replace("\r\n", "\n").strip()
    raise ShipError(
        f"the changelog has no section {tag}",
        cause="its pull request is not merged, or the merge is not pulled",
        hint="`git pull` and try again; `release LAYER --pull-request` makes the section",
    )
