"""Judges a lock by what the runtime provides: a layer leaves that out, and meets its versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from layersmith.base.runtimes import managed_layer, marker_environment
from layersmith.errors import LockError
from layersmith.lock import configuration, resolver
from layersmith.lock.document import CONFIG
from layersmith.lock.inputs import LockInputs
from layersmith.lock.resolver import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from layersmith.lock.document import Lock, LockEntry
    from layersmith.plan import Provided, Target


def preferred(target: Target, kept: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the versions to prefer: those that are provided, then ``kept`` for all others."""
    own = [(one.name, one.version) for one in target.provided.values() if one.version]
    return [*own, *(pin for pin in kept if pin[0] not in target.provided)]


def check(target: Target, lock: Lock, inputs: LockInputs, root: Path | None = None) -> None:
    """Refuse a lock whose distributions do not accept the runtime's versions.

    Args:
        target: The target.
        lock: Its lock; the versions of the runtime were preferred in it.
        inputs: What it was resolved from.
        root: Folder in which uv looks for its configuration. Without it no index is asked, and
            only what layers.yaml itself asks for is judged.

    Raises:
        LockError: A requirement excludes a version of the runtime.
    """
    problems: dict[str, str] = {}
    for entry in lock.entries:
        one = target.provided.get(entry.name)
        if one is None or not one.version or Version(one.version) == Version(entry.version):
            continue
        who = list(_lines_without(target, inputs, one))
        if root and not who:
            who = _parents_without(target, lock, entry, one, root)
        if who:
            problems[entry.name] = (
                f"{target.provider(entry.name)} provides {entry.name} {one.version}, which"
                f" {_and(who)} {'excludes' if len(who) == 1 else 'exclude'}"
            )
    if problems:
        brought = {more for name in problems for more in target.provided[name].together}
        names = ", ".join(name for name in problems if name not in brought)
        what = "package" if target.function else "layer"
        accept = "accept the provided version"
        if any(name in target.managed for name in problems):
            accept += (
                ", write the versions of the managed layer that you use under `managed-layers`"
                " (name, distributions)"
            )
        raise LockError(
            "; ".join(problems.values()),
            target=target.identifier,
            cause=f"a {what} leaves out what is provided, and meets the version of that",
            hint=f"{accept}, or put a version of its own into the {what} with"
            f" `keep-provided: [{names}]`",
        )


def notes(target: Target, inputs: LockInputs, lock: Lock) -> list[str]:
    """Say what layers.yaml asks for and the runtime provides, and what managed layers bring."""
    return [*notes_on(target, inputs.requirements), *_managed_notes(target, lock)]


def _managed_notes(target: Target, lock: Lock) -> Iterator[str]:
    """Say what of a lock each managed layer brings, and which layers are not known."""
    for given in target.settings.managed_layers:
        layer = given if isinstance(given, str) else given.name
        known = managed_layer(layer)
        if isinstance(given, str) and known is None:
            yield (
                f"the managed layer {layer} is not known, so nothing is left out of the layer for"
                f" it; write what it brings: managed-layers: [{{name: {layer}, distributions:"
                " {pandas: 2.3.3}}], or distributions: {} if that is nothing"
            )
        names = [
            entry.name
            for entry in lock.entries
            if entry.name in target.provided
            and (one := target.managed.get(entry.name))
            and one.layer == layer
        ]
        if names:
            held = ", ".join(f"{name} {target.managed[name].version}" for name in names)
            since = f", as of {known.date}" if isinstance(given, str) and known else ""
            yield f"left out, because {layer} brings it{since}: {held}"


def notes_on(target: Target, requirements: Iterable[str]) -> list[str]:
    """Say which of some requirements (PEP 508) the runtime provides.

    Args:
        target: The target.
        requirements: Its requirements as asked for.
    """
    names = sorted({canonicalize_name(Requirement(line).name) for line in requirements})
    return [
        f"{name} stays out of the {'package' if target.function else 'layer'}:"
        f" {target.provider(name)} provides"
        f" {target.provided[name].version} (`keep-provided: [{name}]` puts it in)"
        for name in names
        if name in target.provided and name not in target.managed
    ]


def refuse_empty(target: Target, lock: Lock, inputs: LockInputs) -> None:
    """Refuse a lock of which nothing goes into the layer.

    Raises:
        LockError: The runtime provides all of it, or all of it is excluded.
    """
    if inputs.packages or target.settings.files or target.settings.modules:
        return
    left_out = {*target.provided, *target.settings.excludes}
    if any(entry.name not in left_out for entry in lock.entries):
        return
    provided = [entry.name for entry in lock.entries if entry.name in target.provided]
    asked = [entry.name for entry in lock.entries if CONFIG in entry.via]
    kept = next((name for name in asked if name in provided), None)
    where = f"{target.runtime.name} on {target.architecture}"
    by = dict.fromkeys(target.provider(name) for name in provided)
    cause = f"{_and(list(by))} {_verb(by)} {_and(provided)}" if provided else None
    if not lock.entries:
        cause = f"the markers of all requirements exclude {where}"
    raise LockError(
        "nothing is left in the layer",
        target=target.identifier,
        cause=cause or "all that was resolved is listed under `excludes`",
        hint=f"set `keep-provided: [{kept}]` to put it into the layer, or drop the layer"
        if kept
        else "ask for something else, or drop the layer for this target",
    )


def _lines_without(target: Target, inputs: LockInputs, one: Provided) -> Iterator[str]:
    """Yield what layers.yaml asks for that excludes the runtime's version."""
    environment = {**marker_environment(target.runtime, target.architecture), "extra": ""}
    for line in [*inputs.requirements, *inputs.constraints]:
        requirement = Requirement(line)
        applies = requirement.marker is None or requirement.marker.evaluate(environment)
        if (
            canonicalize_name(requirement.name) == one.name
            and applies
            and not requirement.specifier.contains(one.version, prereleases=True)
        ):
            yield f"`{line}` of {CONFIG}"


def _parents_without(
    target: Target, lock: Lock, entry: LockEntry, one: Provided, root: Path
) -> list[str]:
    """Name the distributions that do not resolve beside the runtime's version.

    Where the index does not offer that version nothing is known, and the audit of the layer judges.
    """
    wanted = f"{one.name}=={one.version}"
    if not _resolves(target, [wanted], root):
        return []
    parents = [other for other in lock.entries if other.name in entry.via]
    found = [
        f"{parent.name} {parent.version}"
        for parent in parents
        if not _resolves(target, [f"{parent.name}=={parent.version}", wanted], root)
    ]
    return found or [name for name in entry.via if name != CONFIG]


def _resolves(target: Target, requirements: list[str], root: Path) -> bool:
    names = {canonicalize_name(Requirement(line).name) for line in requirements}
    sources = configuration.sources(root, names)
    try:
        resolver.resolve(target, LockInputs(requirements, [], {}, {}, {}, sources=sources), root)
    except Unresolvable:
        return False
    return True


def _verb(subjects: Collection[str]) -> str:
    return "provides" if len(subjects) == 1 else "provide"


def _and(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
