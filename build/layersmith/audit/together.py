"""Judges the layers of one function against each other: Lambda lays them over each other.

Layers are merged in the order of the function's list, and a file of a later one replaces that of an
earlier one (AWS Lambda developer guide, "Adding layers to functions").
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from layersmith.assemble import wheel
from layersmith.audit.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest
    from layersmith.config.models import Config

SHOWN = 3
"""Paths that one message lists."""


def check(config: Config, manifests: Sequence[Manifest], dist: Path) -> list[Finding]:
    """Return where two layers of one function differ in what they share, each once.

    Args:
        config: The configuration, whose functions name their layers.
        manifests: The manifests of what is in ``dist``.
        dist: Folder of the zips.

    Raises:
        BuildError: A zip is missing or damaged.
    """
    made = {(m.layer, m.runtime, m.architecture): m for m in manifests}
    found: dict[str, Finding] = {}
    for name, function in config.functions.items():
        for runtime, architecture in sorted({(m.runtime, m.architecture) for m in manifests}):
            layers = [made.get((layer, runtime, architecture)) for layer in function.layers]
            for first, last in itertools.combinations(filter(None, layers), 2):
                for one in _pair(name, first, last, dist):
                    found.setdefault(one.what, one)
    return list(found.values())


def _pair(function: str, first: Manifest, last: Manifest, dist: Path) -> Iterator[Finding]:
    versions = {one.name: one.version for one in first.distributions}
    differing = {
        one.name: (versions[one.name], one.version)
        for one in last.distributions
        if versions.get(one.name, one.version) != one.version
    }
    both = f"function {function}: {first.identifier} and {last.identifier}"
    for name, (old, new) in sorted(differing.items()):
        yield _finding(
            name,
            f"{both} hold {name} in versions {old} and {new}; files of {new} win, from "
            f"{last.identifier}, the later one",
            f"lock both layers with one version (constraints: [{name}=={new}]), or exclude {name} "
            "from one of them",
        )
    owners = {one.path: one.distribution for one in last.files}
    paths = [
        path
        for path in _differing(first, last, dist)
        if owners.get(path) not in differing and not path.endswith(".dist-info/RECORD")
    ]
    if paths:
        more = f" (and {len(paths) - SHOWN} more)" if len(paths) > SHOWN else ""
        yield _finding(
            None,
            f"{both} hold {', '.join(paths[:SHOWN])}{more} with different bytes; the copy of "
            f"{last.identifier} wins, the later one",
            "build what both hold with the same settings, or put it into one layer only",
            path=paths[0],
        )


def _differing(first: Manifest, last: Manifest, dist: Path) -> list[str]:
    """Return the paths that both zips hold with different bytes, as their CRC-32 tell."""
    shared = {one.path for one in first.files} & {one.path for one in last.files}
    if not shared:
        return []
    old, new = (
        {info.filename: (info.CRC, info.file_size) for info in wheel.directory(dist / made)}
        for made in (first.artifact.filename, last.artifact.filename)
    )
    return sorted(path for path in shared if old.get(path) != new.get(path))


def _finding(distribution: str | None, what: str, step: str, *, path: str | None = None) -> Finding:
    return Finding(
        code="LAYERS-DIFFER",
        severity=Severity.WARNING,
        path=path,
        distribution=distribution,
        what=what,
        cause="layers are merged in the order of the function's list, file by file, at /opt",
        next=step,
    )
