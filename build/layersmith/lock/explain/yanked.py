"""Finds versions that an index has yanked (PEP 592).

uv passes them over unless a requirement pins one with ``==`` or a lock holds it already. A range
that only one version is in pins nothing, so that uv has no answer where that version is yanked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from layersmith.lock import resolver
from layersmith.lock.resolver import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from layersmith.lock.document import Lock
    from layersmith.plan import Target


def among(target: Target, versions: Iterable[tuple[str, str]], root: Path) -> set[str]:
    """Return the names of the versions whose files are all yanked.

    Args:
        target: The target.
        versions: Names and versions that the index offers.
        root: Folder in which uv looks for its configuration.
    """
    # A local version (1.0+cpu) cannot be the bound of a range (PEP 440).
    pins = [(name, version) for name, version in versions if "+" not in version]
    if not pins or _good(target, pins, root):
        return set()
    if len(pins) == 1:
        return {pins[0][0]}
    half = len(pins) // 2
    return among(target, pins[:half], root) | among(target, pins[half:], root)


def notes(target: Target, lock: Lock, root: Path) -> list[str]:
    """Say which locked versions are yanked, and who asks for them."""
    versions = [(one.name, one.version) for one in lock.entries if one.name not in target.provided]
    names = among(target, versions, root)
    return [
        f"{entry.name} {entry.version} was yanked from the index; {', '.join(entry.via)}"
        " leaves no other version: request one that was not"
        for entry in lock.entries
        if entry.name in names
    ]


def _good(target: Target, pins: list[tuple[str, str]], root: Path) -> bool:
    wanted = [Requirement(f"{name}>={version},<={version}") for name, version in pins]
    try:
        resolver.every_offer(target, wanted, root)
    except Unresolvable:
        return False
    return True
