"""Finds the files that are to be weighed: by a lock where there is one, else by the resolver."""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith import lock
from layersmith.config.models import Layer, RequirementsFile
from layersmith.errors import LockError
from layersmith.lock import inputs as lockinputs
from layersmith.lock import provided, rounds
from layersmith.plan import Target
from layersmith.weigh.listings import ListingRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layersmith.base.runtimes import Runtime
    from layersmith.lock.inputs import LockInputs


@dataclass(frozen=True)
class Resolved:
    """What a target consists of.

    Attributes:
        files: One file a distribution.
        versions: Name to version.
        inputs: What it was resolved from.
        locked: Whether it is the target's committed lock.
    """

    files: list[ListingRequest]
    versions: dict[str, str]
    inputs: LockInputs
    locked: bool


def target_of(
    name: str,
    requirements: Sequence[str] | RequirementsFile,
    runtime: Runtime,
    architecture: str,
    constraints: Sequence[str] | RequirementsFile = (),
) -> Target:
    """Return a target for requirements that no layers.yaml names."""
    settings = Layer(
        description="weighed, not built",
        version="0.0.0",
        runtimes=[runtime.name],
        architectures=[architecture],
        requirements=_setting(requirements),
        constraints=_setting(constraints),
    )
    return Target(name, runtime, architecture, settings)


def _setting(given: Sequence[str] | RequirementsFile) -> list[str] | RequirementsFile:
    return given if isinstance(given, RequirementsFile) else list(given)


def resolve(target: Target, root: Path, *, refresh: bool = False) -> Resolved:
    """Return the files of a target.

    Args:
        target: The target.
        root: Folder of layers.yaml, or the one in which uv looks for its configuration.
        refresh: Ask the index again where the files of a lock are.

    Raises:
        LockError: There is no solution; the message holds the resolver's explanation as a whole.
    """
    return _by_lock(target, root, refresh) or _by_rounds(target, root)


def _by_lock(target: Target, root: Path, refresh: bool) -> Resolved | None:
    if not lock.lock_path(target, root).is_file():
        return None
    locked = lock.check(target, root)
    places = lock.urls(locked, target, root=root, refresh=refresh)
    files = [
        ListingRequest(entry.name, entry.filename, entry.sha256, places[entry.sha256][0])
        for entry in locked.entries
    ]
    inputs = lockinputs.collect(target, root, locked.members)
    return Resolved(files, {e.name: e.version for e in locked.entries}, inputs, locked=True)


def _by_rounds(target: Target, root: Path) -> Resolved:
    files, versions = [], {}
    inputs = lockinputs.collect(target, root)
    kept = provided.preferred(target, inputs.pins.items())
    with ThreadPoolExecutor(1) as beside:
        # What reads the files' directories is loaded while uv waits for the index.
        beside.map(importlib.import_module, ("layersmith.base.routes", "httpcore"))
        resolution = rounds.resolution_of(target, inputs, root, kept)
    for offer, file in resolution.chosen:
        if file.sha256 is None:
            raise LockError(
                f"the index gives no SHA-256 for {file.filename}",
                target=target.identifier,
                hint="use an index that serves hashes",
            )
        files.append(ListingRequest(offer.name, file.filename, file.sha256, file.url))
        versions[offer.name] = offer.version
    inputs = lockinputs.collect(target, root, resolution.members(inputs, root))
    return Resolved(files, versions, inputs, locked=False)
