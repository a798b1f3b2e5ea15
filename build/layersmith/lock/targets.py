"""Locks many targets at once."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from layersmith import cache, console, lock
from layersmith.base import disk
from layersmith.config.models import file_of
from layersmith.errors import LockError, did_you_mean
from layersmith.lock import (
    build_pins,
    document,
    explain,
    provenance,
    provided,
    requirements,
    resolver,
    yanked,
)
from layersmith.lock import inputs as lockinputs
from layersmith.lock.document import render
from layersmith.lock.pages import Pages

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from layersmith.lock.document import Lock, VersionChange
    from layersmith.lock.inputs import LockInputs
    from layersmith.plan import Target

Given = TypeVar("Given")
Made = TypeVar("Made")

WORKERS = os.cpu_count() or 2
"""Targets resolved at once: where uv's cache is warm, a call of it takes a core."""

APART = {
    *(
        "accept",
        "align",
        "budgets",
        "bytecode",
        "description",
        "extends",
        "files",
        "forbid_imports",
    ),
    *("import_exceptions", "license", "modules", "optimize", "principals", "prune", "regions"),
    *("smoke", "storage", "strip", "version"),
}
"""Settings that reach neither the lock of a layer nor what is said of it."""


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


class _Wanted(NamedTuple):
    """What is asked of a run, beside its targets."""

    upgrade: bool | Collection[str]
    accepted: Collection[str]
    pages: Pages


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
    accepted: Collection[str] = (),
    quiet: bool = False,
) -> list[LockResult]:
    """Resolve targets in parallel and write their locks; one failure stops no other.

    Args:
        targets: The targets.
        root: Folder of layers.yaml.
        upgrade: Names of distributions to bring to their newest version; True for all.
        accepted: Names of distributions that somebody else may have published than before.
        quiet: Show no progress.

    Raises:
        LockError: A name in ``upgrade`` or ``accepted`` is in none of the present locks.
    """
    if not isinstance(upgrade, bool):
        upgrade = _known(upgrade, targets, root)
    accepted = _known(accepted, targets, root, "accepted")
    with (
        console.progress(quiet=quiet) as display,
        Pages(root) as pages,
        ThreadPoolExecutor(WORKERS) as pool,
        resolver.shared(),
    ):
        task = display.add_task("lock", total=len(targets), step="")
        wanted = _Wanted(upgrade, accepted, pages)

        def one(target: Target) -> _Resolved | LockResult:
            result = _update(target, root, wanted)
            display.update(task, advance=1, step=target.identifier)
            return result

        found: list[_Resolved | LockResult] = []
        # What a function's layers bring stays out of its package: their locks come first.
        layers = _equal([target for target in targets if not target.function], root)
        for groups in (layers, [[target] for target in targets if target.function]):
            firsts = _in_order(pool, one, [same[0] for same in groups])
            alone: list[Target] = []
            for first, (_, *rest) in zip(firsts, groups, strict=True):
                if isinstance(first, LockResult):
                    alone += rest
                else:
                    found += [_as_well(first, target, root) for target in rest]
                    display.update(task, advance=len(rest))
            found += [*firsts, *_in_order(pool, one, alone)]
        results = _noted(found, root, pool)
    return [results[target.identifier] for target in targets]


def _equal(targets: Sequence[Target], root: Path) -> list[list[Target]]:
    """Return layers whose locks are resolved from the same, the first ones in their order."""
    found: dict[tuple[str, ...], list[Target]] = {}
    for target in targets:
        settings = (target.recipes.written or target.settings, target.settings)
        texts = [one.model_dump_json(exclude=APART) for one in settings]
        try:
            present = lock.lock_path(target, root).read_bytes().partition(b"\n")[2]
        except OSError:
            present = b""
        key = (target.runtime.name, target.architecture, *texts, cache.sha256_bytes(present))
        found.setdefault(key, []).append(target)
    return list(found.values())


def _known(
    names: Collection[str], targets: Sequence[Target], root: Path, what: str = "upgraded"
) -> set[str]:
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
                f"{name} cannot be {what}: it is in none of the locks",
                hint=did_you_mean(
                    canonicalize_name(name), present, "run `nox -s lock` without its name"
                ),
            )
    return {canonicalize_name(name) for name in names}


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Given], Made], targets: Sequence[Given]
) -> list[Made]:
    try:
        return list(pool.map(work, targets))
    except BaseException:
        # Ctrl-C: the targets that wait are not started.
        pool.shutdown(wait=False, cancel_futures=True)
        raise


@dataclass(frozen=True)
class _Resolved:
    """A target with its lock, of which nothing was said yet.

    Attributes:
        target: The target, with what recipes change now.
        old: Its lock before.
        new: Its lock.
        inputs: What the lock was resolved from.
        attested: What a user should know of who published its files.
    """

    target: Target
    old: Lock | None
    new: Lock
    inputs: LockInputs
    attested: Sequence[str]

    @property
    def offered(self) -> Lock:
        """What an index offers of the lock."""
        direct = requirements.direct(self.inputs.requirements)
        return replace(self.new, entries=[e for e in self.new.entries if e.name not in direct])


def _update(target: Target, root: Path, wanted: _Wanted) -> _Resolved | LockResult:
    path = lock.lock_path(target, root)
    try:
        old = lock.read(path)
    except LockError:
        old = None
    try:
        with disk.explained(LockError, root=root, target=target.identifier):
            target = lock.with_layers(target, root, strict=True)
            return _resolved(target, root, path, old, wanted)
    except LockError as error:
        error.target = error.target or target.identifier
        return LockResult(target, root, error=error)


def _resolved(
    target: Target, root: Path, path: Path, old: lock.Lock | None, wanted: _Wanted
) -> _Resolved:
    try:
        resolved = lock.resolve(target, root, upgrade=wanted.upgrade)
    except LockError as error:
        error.cause = provenance.withheld(error.message, root, wanted.pages) or error.cause
        raise
    resolved, attested = provenance.add(resolved, old, target, wanted.pages, wanted.accepted)
    target = target.under(resolved.entries)
    new = build_pins.add(resolved, old, target, root, upgrade=wanted.upgrade)
    if new != old:
        lock.write(new, path, target.identifier)
    return _Resolved(target, old, new, lockinputs.collect(target, root), attested)


def _ask_ahead(found: Sequence[_Resolved], root: Path, pool: ThreadPoolExecutor) -> None:
    """Ask in a few calls of uv what the notes on all targets need to know of the index."""
    questions: list[Callable[[], None]] = []
    by_platform: dict[tuple[str, str], list[_Resolved]] = {}
    for one in found:
        key = (one.target.runtime.name, one.target.architecture)
        by_platform.setdefault(key, []).append(one)
    for same in by_platform.values():
        locks = [(one.target, one.offered) for one in same]
        asked = [(*pair, one.inputs) for pair, one in zip(locks, same, strict=True)]
        questions += [
            partial(yanked.ask_ahead, locks, root),
            partial(explain.ask_ahead, asked, root),
        ]
    _in_order(pool, lambda ask: ask(), questions)


def _noted(
    found: Sequence[_Resolved | LockResult], root: Path, pool: ThreadPoolExecutor
) -> dict[str, LockResult]:
    """Return results by identifier, with what a user should know; equal locks are judged once."""
    distinct = list({id(one.new): one for one in found if isinstance(one, _Resolved)}.values())
    _ask_ahead(distinct, root, pool)
    judged = _in_order(pool, lambda one: _judged(one, root), distinct)
    by_lock = {id(one.new): result for one, result in zip(distinct, judged, strict=True)}
    results = [
        one if isinstance(one, LockResult) else replace(by_lock[id(one.new)], target=one.target)
        for one in found
    ]
    return {result.target.identifier: result for result in results}


def _judged(found: _Resolved, root: Path) -> LockResult:
    """Add what a user should know of a lock."""
    target, inputs, new = found.target, found.inputs, found.new
    try:
        with disk.explained(LockError, root=root, target=target.identifier):
            notes = [
                *found.attested,
                *provided.notes(target, inputs, new),
                *yanked.notes(target, found.offered, root),
                *explain.passed_over(target, found.offered, inputs, root),
                *_superfluous(target, new, inputs),
                *_elsewhere(target, new, inputs),
            ]
    except LockError as error:
        error.target = error.target or target.identifier
        return LockResult(target, root, error=error)
    return LockResult(target, root, new, tuple(document.changes(found.old, new)), tuple(notes))


def _as_well(found: _Resolved, target: Target, root: Path) -> _Resolved | LockResult:
    """Lock a target to what another one was locked to, from the same inputs."""
    path, text = lock.lock_path(target, root), render(found.new, target.identifier)
    try:
        with disk.explained(LockError, root=root, target=target.identifier):
            if not path.exists() or path.read_text("utf-8") != text:
                lock.write(found.new, path, target.identifier)
    except LockError as error:
        return LockResult(target, root, error=error)
    return replace(found, target=target)


def _elsewhere(target: Target, new: lock.Lock, inputs: LockInputs) -> list[str]:
    """Say which versions differ from those of the team's lock that ``constraints`` names."""
    file = file_of(target.settings.constraints)
    return [
        f"{one.name} {one.version}: {file} has {inputs.pins[one.name]}, "
        + (
            f"and {target.provider(one.name)} provides {one.version}"
            if one.name in target.provided
            else f"which does not fit {explain.platform_text(target)} and the other requirements"
        )
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
