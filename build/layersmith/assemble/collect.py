"""From a lock to the tree of a layer: what is kept, dropped, or replaced by a stub."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from packaging.utils import canonicalize_name, parse_wheel_filename

from layersmith import console
from layersmith.assemble import files, wheel
from layersmith.assemble.manifest import Dropped
from layersmith.assemble.tree import Tree
from layersmith.errors import BuildError, LockError
from layersmith.lock import build_pins, folders, wheelstore
from layersmith.plan import Brought

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.assemble.files import OwnFile
    from layersmith.assemble.wheel import Wheel
    from layersmith.lock import Lock, LockEntry
    from layersmith.lock.document import LockedFile
    from layersmith.plan import Target

PROVIDED_REASON = "provided by the runtime"

Origin = Literal["wheel", "sdist", "local", "stub", "cross", "files"]


@dataclass
class Part:
    """One distribution on its way into a layer."""

    name: str
    version: str
    origin: Origin
    filename: str | None = None
    sha256: str | None = None
    wheel: Wheel | None = None
    record: dict[str, Any] | None = None
    """How it was compiled, for origin ``cross``."""
    reason: str | None = None
    """Why a stub takes its place, for origin ``stub``."""


@dataclass
class Collected:
    """The tree of a layer before it is pruned, and where it came from."""

    tree: Tree = field(default_factory=Tree)
    parts: list[Part] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)
    """Path below python/ to its hash in its wheel's RECORD."""
    files: list[OwnFile] = field(default_factory=list)
    """What the keys `modules` and `files` of layers.yaml bring."""


def reason_to_drop(name: str, target: Target) -> str | None:
    """Return why a distribution stays out of the layer, or None."""
    settings = target.settings
    if name in settings.excludes:
        return settings.excludes[name]
    if name in target.provided:
        by_layer = isinstance(target.provided[name], Brought)
        return f"provided by {target.provider(name)}" if by_layer else PROVIDED_REASON
    return None


def needed(lock: Lock, target: Target) -> list[LockEntry]:
    """Return the locked distributions whose files the layer needs."""
    return [
        entry
        for entry in lock.entries
        if reason_to_drop(entry.name, target) is None and entry.name not in target.settings.stubs
    ]


def missing(lock: Lock, target: Target) -> list[LockedFile]:
    """Return the files that are needed and not in the store."""
    return [
        file
        for entry in needed(lock, target)
        for file in entry.files
        if not wheelstore.path_of(file.sha256, file.filename).exists()
    ]


def builds_something(lock: Lock, target: Target) -> bool:
    """Whether a build runs the backend of a local package or of an sdist."""
    entries = needed(lock, target)
    return bool(target.settings.packages) or any(_is_built(entry, target) for entry in entries)


def wheels(lock: Lock, target: Target) -> Collected:
    """Put the files of those distributions into a tree that come as wheels.

    Raises:
        BuildError: A file is damaged, or two distributions own one path.
    """
    collected = Collected()
    for entry in needed(lock, target):
        if not _is_built(entry, target):
            _add_wheel(collected, _part(entry, target))
    return collected


def _is_built(entry: LockEntry, target: Target) -> bool:
    return not entry.is_wheel or entry.name in target.settings.build


def stored(file: LockedFile, target: Target) -> Path:
    """Return a locked file from the store.

    Raises:
        BuildError: It is damaged.
    """
    path = wheelstore.verified(file.sha256, file.filename)
    if path is None:
        raise BuildError(
            f"{file.filename} is damaged in the cache and was removed",
            target=target.identifier,
            hint="run the build again to download it anew",
        )
    return path


def collect(lock: Lock, target: Target, root: Path) -> Collected:
    """Put the files of every distribution of a target into one tree.

    Args:
        lock: The target's lock; its files are in the store.
        target: What is built.
        root: Folder of layers.yaml.

    Raises:
        BuildError: A file is damaged, a build fails, or two distributions own one path.
        LockError: A local package asks for something that the lock does not hold.
    """
    collected = Collected()
    for entry in lock.entries:
        reason = reason_to_drop(entry.name, target)
        if reason:
            collected.dropped.append(_dropped(entry, reason, target))
        elif entry.name in target.settings.stubs:
            _add_stub(collected, entry, target, root)
    wanted = needed(lock, target)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda entry: _part(entry, target), wanted))
    parts += [_local(root / folder, target, lock) for folder in folders(lock, target)]
    for part in parts:
        _add_wheel(collected, part)
    _add_modules(collected, target, root)
    collected.parts.sort(key=lambda part: part.name)
    return collected


def _dropped(entry: LockEntry, reason: str, target: Target) -> Dropped:
    one = target.provided.get(entry.name)
    if isinstance(one, Brought) and one.managed:
        return Dropped(name=one.name, version=one.version, reason=reason, managed=one.layer)
    return Dropped(name=entry.name, version=entry.version, reason=reason)


def _part(entry: LockEntry, target: Target) -> Part:
    path = stored(entry.files[0], target)
    if not _is_built(entry, target):
        return Part(
            entry.name,
            entry.version,
            "wheel",
            path.name,
            entry.sha256,
            wheel.read(path, entry.name),
        )
    try:
        return _from_sdist(entry, path, target)
    except BuildError as problem:
        problem.target = problem.target or target.identifier
        raise


def _from_sdist(entry: LockEntry, path: Path, target: Target) -> Part:
    """Build the wheel of an sdist: on the host if it compiles nothing, else for the target."""
    from layersmith.crossbuild import host  # noqa: PLC0415 -- few layers build anything

    settings = target.settings
    options = settings.build.get(entry.name)
    if options is None and not host.compiles(path):
        built = host.HostBuild(path, target.runtime, settings.environment).wheel(
            entry.build or None
        )
        read = wheel.read(built, entry.name)
        return Part(entry.name, entry.version, "sdist", path.name, entry.sha256, read)
    made = build_pins.compile_sdist(entry, path, target)
    if made.warning:
        console.warn(f"{target.identifier}: {entry.name} {entry.version} {made.warning}")
    read = wheel.read(made.path, entry.name)
    return Part(entry.name, entry.version, "cross", path.name, entry.sha256, read, made.record)


def _local(folder: Path, target: Target, lock: Lock) -> Part:
    from layersmith.crossbuild import host  # noqa: PLC0415 -- few layers build anything

    build = host.HostBuild(folder, target.runtime, target.settings.environment)
    built = build.wheel(lock.packages[build.project.name])
    name = parse_wheel_filename(built.name)[0]
    read = wheel.read(built, name)
    _refuse_unlocked(read, target, lock)
    return Part(name, str(read.metadata["Version"]), "local", wheel=read)


def _refuse_unlocked(read: Wheel, target: Target, lock: Lock) -> None:
    """Hold what the wheel of a local package asks for against the lock.

    Its dependencies may be dynamic, and come from where no digest looks.

    Raises:
        LockError: The lock does not hold one of them.
    """
    extras = frozenset(target.settings.extras.get(read.distribution, ()))
    for requirement in read.requirements(target, extras):
        name = canonicalize_name(requirement.name)
        if name in lock.packages:
            continue
        entry = lock.entry(name)
        if entry is None or not requirement.specifier.contains(entry.version, prereleases=True):
            held = f"{name} {entry.version}" if entry else f"no {name}"
            raise LockError(
                f"the local package {read.distribution} asks for {requirement}, and the lock holds"
                f" {held}",
                target=target.identifier,
                cause="its dependencies are dynamic and changed since it was locked",
                hint=f"run `nox -s lock -- --layer {target.layer}` and commit locks/",
            )


def _add_modules(collected: Collected, target: Target, root: Path) -> None:
    collected.files = files.modules(target, root)
    for one in collected.files:
        collected.tree.add(one.entry)
    if collected.files:
        version = files.version(collected.files)
        collected.parts.append(Part(files.MODULES, version, "files"))


def _add_stub(collected: Collected, entry: LockEntry, target: Target, root: Path) -> None:
    stub = target.settings.stubs[entry.name]
    for found in files.of_stub(
        entry.name, entry.version, stub, target.stub_folder(entry.name, root)
    ):
        collected.tree.add(found)
    collected.parts.append(Part(entry.name, entry.version, "stub", reason=stub.reason))


def _add_wheel(collected: Collected, part: Part) -> None:
    assert part.wheel is not None
    for entry in part.wheel.entries:
        collected.tree.add(entry)
    collected.tree.removed += part.wheel.removed
    collected.hashes |= part.wheel.hashes
    collected.parts.append(part)
