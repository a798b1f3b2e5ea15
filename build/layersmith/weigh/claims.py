"""Holds what is asked for against what distributions say of themselves: Pythons and extras."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from layersmith import lock
from layersmith.errors import BuildError, LockError, closest
from layersmith.lock import inputs as lockinputs
from layersmith.lock import wheelstore
from layersmith.weigh import listings
from layersmith.weigh.listings import ListingRequest, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from email.message import Message
    from pathlib import Path

    from layersmith.lock import Lock, LockEntry
    from layersmith.lock.inputs import LockInputs
    from layersmith.plan import Target

PATCHES = range(60)
"""Patch releases that a minor version of CPython may have; the longest series so far had 23."""


def notes(target: Target, locked: Lock, root: Path, *, ask: bool = True) -> list[str]:
    """Say what does not claim to run on the target's Python, and which extras do not exist.

    Args:
        target: The target.
        locked: Its lock.
        root: Folder of layers.yaml.
        ask: Ask the index about wheels that are not in the store; otherwise they are passed over,
            because that was said when they were locked.
    """
    left_out = {*target.provided, *target.settings.excludes, *target.settings.stubs}
    entries = [
        entry
        for entry in locked.entries
        if entry.name not in left_out and entry.is_wheel and (ask or _stored(entry))
    ]
    inputs = lockinputs.collect(target, root)
    try:
        claims = _claims(target, locked, entries, root)
    except (BuildError, LockError) as problem:
        return [f"Requires-Python and extras were not checked: {problem.message}"]
    versions = {entry.name: entry.version for entry in entries}
    return [*_caps(target, claims, versions), *_extras(inputs, claims)]


def _stored(entry: LockEntry) -> bool:
    return wheelstore.path_of(entry.sha256, entry.filename).is_file()


_read: dict[str, Message] = {}
"""METADATA by the SHA-256 of its file: many targets of a run hold the same."""


def _claims(
    target: Target, locked: Lock, wanted: list[LockEntry], root: Path
) -> dict[str, Message]:
    """Return the METADATA of wheels by name; of those on an index nothing else is read."""
    new = [one for one in wanted if one.sha256 not in _read]
    places = {} if all(map(_stored, new)) else lock.urls(locked, target, root=root)
    requests = [
        ListingRequest(one.name, one.filename, one.sha256, places.get(one.sha256, ("",))[0])
        for one in new
    ]
    for request, listing in zip(requests, listings.listings(requests, Traffic()), strict=True):
        _read[request.sha256] = listings.as_wheel(listing, request).metadata
    return {one.name: _read[one.sha256] for one in wanted}


def _caps(
    target: Target, claims: Mapping[str, Message], versions: Mapping[str, str]
) -> Iterator[str]:
    minor = target.runtime.python_version
    for name, metadata in claims.items():
        claim = metadata.get("Requires-Python")
        try:
            accepted = SpecifierSet(str(claim or ""))
        except InvalidSpecifier:
            continue
        if not any(accepted.contains(f"{minor}.{patch}", prereleases=True) for patch in PATCHES):
            yield (
                f"{name} {versions[name]} asks for Python {claim}, which excludes"
                f" {target.runtime.name}: installers let such a cap pass; prove that it works, or"
                " request another version"
            )


def _extras(inputs: LockInputs, claims: Mapping[str, Message]) -> Iterator[str]:
    for line in inputs.requirements:
        requirement = Requirement(line)
        metadata = claims.get(canonicalize_name(requirement.name))
        if metadata is not None:
            offered = metadata.get_all("Provides-Extra") or []
            yield from _unknown(requirement.name, requirement.extras, set(map(str, offered)))
    for name, extras in inputs.extras.items():
        package = inputs.packages.get(name)
        if package and "optional-dependencies" not in package.metadata.get("dynamic", []):
            offered = package.metadata.get("optional-dependencies", {})
            yield from _unknown(name, set(extras), set(offered))


def _unknown(name: str, extras: set[str], offered: set[str]) -> Iterator[str]:
    known = sorted(map(canonicalize_name, offered))
    for extra in sorted(extras):
        if canonicalize_name(extra) not in known:
            close = closest(canonicalize_name(extra), known)
            hint = f"; did you mean {close}?" if close else ""
            listed = f" (it has {', '.join(known)})" if known and not close else ""
            yield f"{name} has no extra {extra}{listed}, so it adds nothing{hint}"
