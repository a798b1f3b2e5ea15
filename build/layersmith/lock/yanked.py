"""Finds versions and files that an index has yanked (PEP 592).

uv passes them over unless a requirement pins one with ``==`` or a lock holds it already. A range
that only one version is in pins nothing, so that uv has no answer where that version is yanked.
Which of several files of a version are yanked is not in uv's answers: the index's page says it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from packaging.utils import canonicalize_name

from layersmith.base import http, origins
from layersmith.lock import pages, resolver
from layersmith.lock import tags as wheeltags
from layersmith.lock.resolver import TIMEOUT, Unresolvable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from layersmith.lock.document import Lock
    from layersmith.lock.resolver import File, Offer
    from layersmith.plan import Target

_Pin: TypeAlias = tuple[str, str, str]
"""Name and version, and the name of the file in use."""


def among(target: Target, files: Iterable[_Pin], root: Path) -> set[str]:
    """Return the names of the versions of which the target can only use yanked files.

    Args:
        target: The target.
        files: Names and versions that the index offers, and the names of the files in use.
        root: Folder in which uv looks for its configuration.
    """
    # A local version (1.0+cpu) cannot be the bound of a range (PEP 440).
    pins = {one: _question(target, one, root) for one in files if "+" not in one[1]}
    bad = _bad(target, [one for one in pins if not resolver.answered(pins[one])], root)
    judged = ((one, partial(bad.__contains__, one[0])) for one in pins)
    return {one[0] for one, judge in judged if resolver.once(pins[one], judge)}


def ask_ahead(found: Sequence[tuple[Target, Lock]], root: Path) -> None:
    """Ask for all targets of a platform at once what `among` needs to know of their locks.

    Args:
        found: Targets of one runtime and architecture with their locks.
        root: Folder in which uv looks for its configuration.
    """
    files = {one: one[0] for target, lock in found for one in _files(target, lock)}
    for batch in resolver.batches(files):
        among(found[0][0], batch, root)


def _question(target: Target, pin: _Pin, root: Path) -> list[object]:
    name, version, filename = pin
    where = [target.uv_platform, target.runtime.python_version, root]
    return ["yanked", name, version, filename.endswith(".whl"), *where]


def _bad(target: Target, pins: list[_Pin], root: Path) -> set[str]:
    if not pins or _good(target, pins, root):
        return set()
    if len(pins) == 1:
        return {pins[0][0]}
    half = len(pins) // 2
    return _bad(target, pins[:half], root) | _bad(target, pins[half:], root)


def notes(target: Target, lock: Lock, root: Path) -> list[str]:
    """Say which locked versions are yanked, and who asks for them."""
    names = among(target, _files(target, lock), root)
    return [
        f"{entry.name} {entry.version} was yanked from the index; {', '.join(entry.via)}"
        " leaves no other version: request one that was not"
        for entry in lock.entries
        if entry.name in names
    ]


def _files(target: Target, lock: Lock) -> list[_Pin]:
    provided = target.provided
    return [
        (one.name, one.version, one.filename) for one in lock.entries if one.name not in provided
    ]


def _good(target: Target, pins: list[_Pin], root: Path) -> bool:
    lines = [f"{name}>={version},<={version}" for name, version, _ in pins]
    sdists = {name for name, _, filename in pins if not filename.endswith(".whl")}
    try:
        resolver.offers(target, lines, root, from_source=sdists)
    except Unresolvable:
        return False
    return True


def without(
    target: Target, offer: Offer, root: Path, *, or_sdist: bool = False
) -> tuple[File, ...]:
    """Return the files of a version without the wheels that are yanked, if another file fits.

    The index is asked only where the target could use more than one file.

    Args:
        target: The target.
        offer: The version.
        root: Folder in which uv looks for its configuration.
        or_sdist: Whether its sdist may be used, too.

    Raises:
        ConfigError: uv's configuration cannot be read.
    """
    runtime, architecture = target.runtime, target.architecture
    fitting = {
        file.filename
        for file in offer.files
        if file.is_wheel and wheeltags.rank(file.filename, runtime, architecture) is not None
    }
    if len(fitting) + or_sdist < 2:
        return offer.files
    yanked = _yanked(offer.name, fitting, root)
    if yanked == fitting and not or_sdist:
        return offer.files
    return tuple(file for file in offer.files if file.filename not in yanked)


def _yanked(name: str, filenames: set[str], root: Path) -> set[str]:
    """Return which files are yanked, by the first index that lists any of them.

    An index that does not answer here has answered uv, or does not matter.
    """
    from layersmith.base import routes  # noqa: PLC0415 -- httpx's start-up time

    with routes.client(root, timeout=TIMEOUT) as client:
        for index in origins.of(root).settings.get("index", ()):
            try:
                files = pages.read(client, index["url"], canonicalize_name(name)).files
            except http.RequestFailed:
                continue
            if filenames & files.keys():
                return {one for one in filenames if one in files and files[one].yanked}
    return set()
