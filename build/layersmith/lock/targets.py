"""Locks many targets at once."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from layersmith import console, lock
from layersmith.base import disk
from layersmith.config.models import file_of
from layersmith.errors import LockError, did_you_mean
from layersmith.lock import build_pins, compare, explain, provided, requirements
from layersmith.lock import inputs as lockinputs
from layersmith.lock.explain import yanked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from layersmith.lock.compare import VersionChange
    from layersmith.lock.document import Lock
    from layersmith.lock.inputs import LockInputs
    from layersmith.plan import Target

WORKERS = 4
"""Targets resolved at once: uv waits for the index most of the time."""


@dataclass(frozen=True)
class LockResult:
    """What became of one target.

    Attributes:
        target: The target.
        root: Folder of layers.yaml.
        lock: Its lock, unless it failed.
        changes: What the new lock changes.
        notes: What the user should know, such as a newest version that was passed over.
        error: Why it failed, if it did; its old lock is untouched then.
    """

    target: Target
    root: Path
    lock: Lock | None = None
    changes: tuple[VersionChange, ...] = ()
    notes: tuple[str, ...] = ()
    error: LockError | None = None


def check(target: Target, root: Path) -> LockResult:
    """Say whether the lock of a target fits its inputs."""
    try:
        with disk.explained(LockError, root=root, target=target.identifier):
            return LockResult(target, root, lock.check(target, root))
    except LockError as error:
        return LockResult(target, root, error=error)


def update(
    targets: Sequence[Target],
    root: Path,
    *,
    upgrade: bool | Collection[str] = False,
    quiet: bool = False,
) -> list[LockResult]:
    """Resolve targets in parallel and write their locks; one failure stops no other.

    Args:
        targets: The targets.
        root: Folder of layers.yaml.
        upgrade: Names of distributions to bring to their newest version; True for all.
        quiet: Show no progress.

    Raises:
        LockError: A name in ``upgrade`` is in none of the present locks.
    """
    if not isinstance(upgrade, bool):
        upgrade = _known(upgrade, targets, root)
    with console.progress(quiet=quiet) as display, ThreadPoolExecutor(WORKERS) as pool:
        task = display.add_task("lock", total=len(targets), step="")

        def one(target: Target) -> LockResult:
            result = _update(target, root, upgrade)
            display.update(task, advance=1, step=target.identifier)
            return result

        # What a function's layers bring stays out of its package: their locks come first.
        layers = [target for target in targets if not target.function]
        packages = [target for target in targets if target.function]
        done = [*_in_order(pool, one, layers), *_in_order(pool, one, packages)]
    results = {result.target.identifier: result for result in done}
    return [results[target.identifier] for target in targets]


def _known(names: Collection[str], targets: Sequence[Target], root: Path) -> set[str]:
    """Return the names normalized, after it is sure that the present locks hold them."""
    present: set[str] = set()
    for target in targets:
        with contextlib.suppress(LockError):
            locked = lock.read(lock.lock_path(target, root))
            present |= {entry.name for entry in locked.entries}
            for pins in (*(entry.build for entry in locked.entries), *locked.packages.values()):
                present |= build_pins.names(pins)
    for name in names:
        if canonicalize_name(name) not in present:
            raise LockError(
                f"{name} cannot be upgraded: it is in none of the locks",
                hint=did_you_mean(
                    canonicalize_name(name), present, "run `nox -s lock` without its name"
                ),
            )
    return {canonicalize_name(name) for name in names}


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Target], LockResult], targets: Sequence[Target]
) -> list[LockResult]:
    try:
        return list(pool.map(work, targets))
    except BaseException:
        # Ctrl-C: the targets that wait are not started.
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _update(target: Target, root: Path, upgrade: bool | Collection[str]) -> LockResult:
    path = lock.lock_path(target, root)
    try:
        old = lock.read(path)
    except LockError:
        old = None
    try:
        with disk.explained(LockError, root=root, target=target.identifier):
            target = lock.with_layers(target, root, strict=True)
            return _resolved(target, root, path, old, upgrade)
    except LockError as error:
        error.target = error.target or target.identifier
        return LockResult(target, root, error=error)


def _resolved(
    target: Target,
    root: Path,
    path: Path,
    old: lock.Lock | None,
    upgrade: bool | Collection[str],
) -> LockResult:
    resolved = lock.resolve(target, root, upgrade=upgrade)
    target = target.under(resolved.entries)
    new = build_pins.add(resolved, old, target, root, upgrade=upgrade)
    if new != old:
        lock.write(new, path, target.identifier)
    inputs = lockinputs.collect(target, root)
    direct = requirements.direct(inputs.requirements)
    offered = replace(new, entries=[one for one in new.entries if one.name not in direct])
    notes = [
        *provided.notes(target, inputs, new),
        *yanked.notes(target, offered, root),
        *explain.passed_over(target, offered, inputs, root),
        *_superfluous(target, new, inputs),
        *_elsewhere(target, new, inputs),
    ]
    return LockResult(target, root, new, tuple(compare.changes(old, new)), tuple(notes))


def _elsewhere(target: Target, new: lock.Lock, inputs: LockInputs) -> list[str]:
    """Say which versions differ from those of the team's lock that ``constraints`` names."""
    file = file_of(target.settings.constraints)
    return [
        f"{one.name} {one.version}: {file} has {inputs.pins[one.name]}, which does not fit"
        f" {explain.platform_text(target)} and the other requirements"
        for one in new.entries
        if inputs.pins.get(one.name, one.version) != one.version
    ]


def _superfluous(target: Target, new: Lock, inputs: LockInputs) -> list[str]:
    """Say what the layer will hold for the sake of distributions that are left out of it.

    What an extra that was asked for may have brought, such as ``boto3[crt]``, is wanted.
    """
    settings = target.settings
    left_out = {*settings.excludes, *settings.stubs, *target.provided}
    asked = map(Requirement, inputs.requirements)
    with_extras = {canonicalize_name(one.name) for one in asked if one.extras}
    return [
        f"only {root} needs {name}, and {root} stays out of the layer; consider excluding {name}"
        " as well"
        for name, root in lock.orphans(new, left_out).items()
        if not with_extras & _above(new, name)
    ]


def _above(new: Lock, name: str) -> set[str]:
    """Return all that asks for a distribution, directly or through others."""
    asked_by = {entry.name: entry.via for entry in new.entries}
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for parent in asked_by.get(waiting.pop(), ()):
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found
