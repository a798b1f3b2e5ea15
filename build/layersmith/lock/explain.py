"""Says what an index has that a target cannot use, and why uv found no solution."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from layersmith.base.runtimes import marker_environment
from layersmith.errors import LockError
from layersmith.lock import resolver
from layersmith.lock import tags as wheeltags
from layersmith.lock.resolver import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from layersmith.lock.document import Lock
    from layersmith.lock.inputs import LockInputs
    from layersmith.lock.resolver import File, Offer
    from layersmith.plan import Target

MAX_NAMED = 12
"""Wheels of one version that a message names in full."""

_LACKING = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+) has no (?:usable )?wheels")
_LACKING_HINT = re.compile(r"`([A-Za-z0-9][A-Za-z0-9._-]*)` \(v([^)\s]+)\)")

_CAUSES = (
    (
        re.compile(r"was not found in the package registry|not found in the provided package"),
        "a name is misspelt, or the configured index does not have it",
        "check the name; a private index is configured in uv's configuration",
    ),
    (
        re.compile(r"error sending request|dns error|[Cc]onnection|timed out|Failed to fetch"),
        "the package index cannot be reached",
        "check the network and uv's index configuration, then run the command again",
    ),
    (
        re.compile(r"Failed to build|build backend", re.IGNORECASE),
        "the metadata of a local package or sdist is only known after running its build",
        "declare its dependencies statically under [project] (PEP 621), or repair its build",
    ),
    (
        re.compile(r"requires Python|does not satisfy Python"),
        "a requirement asks for another version of Python than the runtime's",
        "request a version that supports the runtime, or choose another runtime",
    ),
    (
        re.compile(r"there is no version of|only .* available"),
        "no version is within what is asked for",
        "relax the requirement or constraint that uv names",
    ),
)
"""What uv says, the likely cause and what to do; the first that matches."""


def fitting(target: Target, files: Iterable[File]) -> File | None:
    """Return the wheel that the target would use, or None."""
    by_name = {file.filename: file for file in files if file.is_wheel}
    best = wheeltags.best(by_name, target.runtime, target.architecture)
    return by_name[best] if best else None


def platform_text(target: Target) -> str:
    """Return ``python3.13 on aarch64-manylinux_2_34``."""
    return f"{target.runtime.name} on {target.uv_platform}"


def wheels_text(target: Target, files: Iterable[File]) -> str:
    """Name the wheels among ``files``: ``cp312, cp313: win32, win_amd64``.

    Where there are many, only those for the target's own interpreter are named in full.
    """
    platforms: dict[str, set[str]] = {}
    for file in files:
        if file.is_wheel and file.filename.count("-") >= 4:
            python, abi, platform = file.filename.removesuffix(".whl").split("-")[-3:]
            tag = python if abi in {python, "none"} else f"{python}-{abi}"
            platforms.setdefault(tag, set()).add(platform)
    if sum(map(len, platforms.values())) > MAX_NAMED and target.runtime.tag in platforms:
        mine = platforms.pop(target.runtime.tag)
        others = ", ".join(sorted(platforms, key=_natural))
        also = f"; and for {others}" if others else ""
        return f"{target.runtime.tag}: {', '.join(sorted(mine))}{also}"
    groups: dict[str, list[str]] = {}
    for tag in sorted(platforms, key=_natural):
        groups.setdefault(", ".join(sorted(platforms[tag])), []).append(tag)
    return "; ".join(f"{', '.join(tags)}: {names}" for names, tags in groups.items())


def _natural(text: str) -> list[tuple[str, int]]:
    return [(word, int(number or 0)) for word, number in re.findall(r"(\D+)(\d*)", text)]


def passed_over(target: Target, lock: Lock, inputs: LockInputs, root: Path) -> list[str]:
    """Say which newest versions the lock does not hold because the target cannot use them.

    Versions that requirements, constraints or the present lock hold back are not mentioned.

    Args:
        target: The target.
        lock: Its lock.
        inputs: What the lock was resolved from.
        root: Folder in which uv looks for its configuration.
    """
    asked = _asked(target, inputs)
    names = [entry.name for entry in lock.entries]
    wanted = [Requirement(f"{name}{asked.get(name, '')}") for name in names]
    try:
        offers = resolver.every_offer(target, wanted, root)
    except Unresolvable:
        # uv answers for all or for none: one name without any file must not hide the others.
        offers = [offer for one in wanted for offer in _offers_of(target, one, root)]
    locked = {entry.name: Version(entry.version) for entry in lock.entries}
    newer = [offer for offer in offers if Version(offer.version) > locked[offer.name]]
    newest = {(offer.name, _is_for(target, offer)): offer for offer in sorted(newer, key=_order)}
    notes = (_why_not(target, offer, locked[offer.name]) for offer in newest.values())
    return [note for note in notes if note]


def _order(offer: Offer) -> tuple[str, Version]:
    return offer.name, Version(offer.version)


def _offers_of(target: Target, requirement: Requirement, root: Path) -> list[Offer]:
    try:
        return resolver.every_offer(target, [requirement], root)
    except Unresolvable:
        return []


def _asked(target: Target, inputs: LockInputs) -> dict[str, SpecifierSet]:
    """Return what layers.yaml itself asks of each distribution, markers judged for the target."""
    environment = _environment(target)
    found: dict[str, SpecifierSet] = {}
    for line in [*inputs.requirements, *inputs.constraints]:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            found[name] = found.get(name, SpecifierSet()) & requirement.specifier
    return found


def _is_for(target: Target, offer: Offer) -> bool:
    """Whether a version takes the target's Python."""
    return not offer.marker or Marker(offer.marker).evaluate(_environment(target))


def _environment(target: Target) -> dict[str, str]:
    return {**marker_environment(target.runtime, target.architecture), "extra": ""}


def _why_not(target: Target, offer: Offer, locked: Version) -> str | None:
    newer = f"{offer.name} {offer.version} is newer than {locked} but"
    if not _is_for(target, offer):
        asks = str(offer.marker).replace("python_full_version", "Python").replace("'", "")
        return f"{newer} asks for {asks}"
    if fitting(target, offer.files):
        return None
    wheels = wheels_text(target, offer.files)
    exist = f"wheels exist for {wheels}" if wheels else "it has no wheel at all"
    return f"{newer} has no wheel for {platform_text(target)}; {exist}"


def refusal(
    target: Target, explanation: str, root: Path, without: Iterable[tuple[str, str]] = ()
) -> LockError:
    """Make the error for a resolution that failed: uv's explanation whole, then ours.

    Args:
        target: The target.
        explanation: What uv said.
        root: Folder in which uv looks for its configuration.
        without: Names and versions to blame that were ruled out before uv was asked.
    """
    lacking = [*_LACKING.findall(explanation), *_LACKING_HINT.findall(explanation), *without]
    newest: dict[str, str] = {}
    for name, version in lacking:
        known = newest.setdefault(canonicalize_name(name), version)
        newest[canonicalize_name(name)] = max(known, version, key=Version)
    cause = "; ".join(filter(None, (_lacks(target, *pin, root) for pin in newest.items())))
    hint = "request a version that has one, choose another runtime, or compile it under `build:`"
    if not cause:
        cause, hint = _cause(explanation)
    indented = "\n".join(f"    {line}" if line else "" for line in explanation.splitlines())
    return LockError(
        f"the requirements do not resolve for {platform_text(target)}. uv says:\n{indented}",
        target=target.identifier,
        cause=cause,
        hint=hint,
    )


def no_wheel(target: Target, name: str, version: str, files: Iterable[File]) -> LockError:
    """Make the error for a distribution that has wheels, but none for the target."""
    return LockError(
        f"{name} {version} has no wheel for {platform_text(target)}",
        target=target.identifier,
        cause=f"wheels exist for {wheels_text(target, files)}",
        hint=f"request a version of {name} that has one, or list it under `build:` to compile it",
    )


def _lacks(target: Target, name: str, version: str, root: Path) -> str:
    files = exact_files(target, name, version, root)
    wheels = wheels_text(target, files)
    if not wheels or fitting(target, files):
        return ""
    return f"{name} {version} has no wheel for {platform_text(target)}; wheels exist for {wheels}"


def exact_files(target: Target, name: str, version: str, root: Path) -> list[File]:
    """Return every file of one version, for any platform; empty where it cannot be had."""
    requirement = Requirement(f"{name}=={version}")
    return [file for offer in _offers_of(target, requirement, root) for file in offer.files]


def _cause(explanation: str) -> tuple[str, str]:
    for pattern, cause, hint in _CAUSES:
        if pattern.search(explanation):
            return cause, hint
    return (
        "two requirements ask for versions that exclude each other",
        "relax one of the requirements or constraints that uv names",
    )
