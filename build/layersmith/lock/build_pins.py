"""Locks what builds sdists and local packages: the compiler and the build requirements.

Without them a machine that builds next month would take newer tools and write other bytes. What a
backend needs only the backend itself tells, so it is asked while locking; what compiles is built.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from layersmith import cache, console, lock
from layersmith.errors import BuildError, LockError
from layersmith.lock import inputs, resolver, wheelstore
from layersmith.lock.document import LockedFile

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from layersmith.crossbuild.finished import BuiltWheel
    from layersmith.lock.document import Lock, LockEntry
    from layersmith.lock.resolver import File
    from layersmith.plan import Target

COMPILER = "zig"


def add(
    new: Lock,
    old: Lock | None,
    target: Target,
    root: Path,
    *,
    upgrade: bool | Collection[str] = False,
) -> Lock:
    """Return a lock in which everything that is built has its pins.

    Args:
        new: The lock as resolved.
        old: The lock before, whose pins stay where the sdist or the package did.
        target: Its target.
        root: Folder of layers.yaml.
        upgrade: Names of distributions to bring to their newest version; True for all.

    Raises:
        LockError: The build requirements of a local package do not resolve, or the index offers
            no sdist of numpy for a lite BLAS.
    """
    before = _without(old, upgrade) if old else None
    sdists = [entry for entry in new.entries if not entry.is_wheel]
    urls = lock.urls(new, target, root=root) if sdists else {}
    pinned = {
        entry.name: _pinned(entry, before, target, urls[entry.sha256][0], root) for entry in sdists
    }
    entries = [
        _with_source(pinned.get(entry.name, entry), before, target, root) for entry in new.entries
    ]
    return replace(new, entries=entries, packages=_of_packages(new, before, target, root))


def names(pins: Iterable[str]) -> set[str]:
    """Return the normalized names in pins."""
    return {canonicalize_name(pin.partition("==")[0]) for pin in pins}


def _without(old: Lock, upgrade: bool | Collection[str]) -> Lock:
    """Return a lock without the pins to renew; what a compiler writes is not renewed with all."""
    if upgrade is False:
        return old

    def kept(pins: tuple[str, ...]) -> tuple[str, ...]:
        renewed = not _compiled(pins) if upgrade is True else names(pins) & set(upgrade)
        return () if renewed else pins

    entries = [replace(entry, build=kept(entry.build)) for entry in old.entries]
    packages = {name: pins for name, pins in old.packages.items() if kept(pins)}
    return replace(old, entries=entries, packages=packages)


def _of_packages(
    new: Lock, old: Lock | None, target: Target, root: Path
) -> dict[str, tuple[str, ...]]:
    kept = old.packages if old else {}
    found = {}
    for name, package in inputs.collect(target, root, new.members).packages.items():
        from layersmith.crossbuild import host  # noqa: PLC0415 -- few layers build anything

        build = host.HostBuild(package.folder, target.runtime, target.settings.environment)
        try:
            if name in kept and build.holds(kept[name]):
                found[name] = kept[name]
            else:
                found[name] = _hashed(build.requirements(), target, root)
        except BuildError as problem:
            raise _as_lock_error(problem, target) from problem
    return found


def _with_source(entry: LockEntry, old: Lock | None, target: Target, root: Path) -> LockEntry:
    """Return numpy's entry with the sdist and the compiler of its lite BLAS, if it gets one."""
    if entry.name != "numpy" or not entry.is_wheel or not target.settings.lite_blas:
        return entry
    before = old.entry(entry.name) if old else None
    try:
        compiler = _compiler()
        if before and before.sha256 == entry.sha256 and before.source and compiler in before.build:
            return replace(entry, build=before.build, source=before.source)
        found = resolver.sdist(entry.name, entry.version, target.runtime.python_version, root)
    except BuildError as problem:
        raise _as_lock_error(problem, target) from problem
    except resolver.Unresolvable as problem:
        raise _no_sdist(entry, target, problem.explanation.strip()) from None
    if found is None or found.sha256 is None:
        raise _no_sdist(entry, target, "the index offers none, or offers it without a hash")
    return replace(entry, build=(compiler,), source=LockedFile(found.sha256, found.filename))


def _no_sdist(entry: LockEntry, target: Target, cause: str) -> LockError:
    return LockError(
        f"there is no sdist of numpy {entry.version}, from which a lite BLAS is built",
        target=target.identifier,
        cause=cause,
        hint="give uv an index with sdists, or set `lite-blas: false` for this layer",
    )


def _as_lock_error(problem: BuildError, target: Target) -> LockError:
    return LockError(
        problem.message, target=target.identifier, cause=problem.cause, hint=problem.hint
    )


def _pinned(entry: LockEntry, old: Lock | None, target: Target, url: str, root: Path) -> LockEntry:
    from layersmith.crossbuild import host  # noqa: PLC0415 -- few layers build anything

    before = old.entry(entry.name) if old else None
    try:
        if before and before.sha256 == entry.sha256 and _holds(before, target):
            return replace(entry, build=before.build)
        path = wheelstore.verified(entry.sha256, entry.filename)
        if path is None:
            path = wheelstore.fetch_one(
                wheelstore.Download(entry.sha256, url, entry.filename), root
            )
        if entry.name not in target.settings.build and not host.compiles(path):
            build = host.HostBuild(path, target.runtime, target.settings.environment)
            return replace(entry, build=_hashed(build.requirements(), target, root))
        record = compile_sdist(entry, path, target).record
        pins = _hashed(record["build_requirements"], target, root)
    except BuildError as problem:
        # The build says what to do about it; a lock of everything else is still worth having.
        console.warn(
            f"{target.identifier}: what builds {entry.name} is not in the lock, so that later"
            f" builds may take other tools: {problem.message}; run `nox -s lock` again once it"
            " builds"
        )
        return entry
    if "compiler" in record:
        pins = (f"{COMPILER}=={record['compiler']['version']}", *pins)
    return replace(entry, build=pins)


def _holds(before: LockEntry, target: Target) -> bool:
    """Whether the pins of a lock before still say what builds an sdist."""
    options = target.settings.build.get(before.name)
    if _compiled(before.build):
        return _compiler() in before.build and not (options and options.container)
    return bool(before.build) and (options is None or options.container)


def _compiled(pins: Iterable[str]) -> bool:
    return any(pin.startswith(f"{COMPILER}==") for pin in pins)


def _hashed(requirements: Sequence[str], target: Target, root: Path) -> tuple[str, ...]:
    """Return requirements with the hashes of their files that a machine may need.

    Raises:
        BuildError: The index does not offer one of them, or not with a hash.
    """
    try:
        offers = resolver.every_offer(target, map(Requirement, requirements), root)
    except resolver.Unresolvable as problem:
        raise BuildError(f"a build requirement is not offered again:\n{problem}") from None
    files = {(offer.name, offer.version): offer.files for offer in offers}
    return tuple(
        " ".join(
            [pin, *_hashes(files[canonicalize_name(name), version], pin, target.runtime.minor)]
        )
        for pin in requirements
        for name, _, version in [pin.partition("==")]
    )


def _hashes(files: Sequence[File], pin: str, minor: int) -> list[str]:
    wanted = [file for file in files if file.is_wheel and _installs(file.filename, minor)]
    if not all(file.filename.endswith("-none-any.whl") for file in wanted) or not wanted:
        wanted += [file for file in files if not file.is_wheel]  # where no wheel fits the machine
    found = sorted({f"--hash=sha256:{file.sha256}" for file in wanted if file.sha256})
    if not found:
        raise BuildError(f"the index gives no SHA-256 for the files of {pin}")
    return found


def _installs(filename: str, minor: int) -> bool:
    """Whether a CPython 3.``minor`` of some machine can install a wheel."""
    names = {f"cp3{minor}", f"py3{minor}", "py3"}
    tags = parse_wheel_filename(filename)[3]
    return any(tag.interpreter in names or tag.abi == "abi3" for tag in tags)


def compile_sdist(entry: LockEntry, path: Path, target: Target) -> BuiltWheel:
    """Compile an sdist for its target, with the tools that the lock names where it names any.

    Raises:
        BuildError: It does not build, or this machine has another compiler than the lock.
    """
    from layersmith.crossbuild import sdist, wheels  # noqa: PLC0415 -- few layers compile anything

    settings = target.settings
    requirements = [pin for pin in entry.build if not pin.startswith(f"{COMPILER}==")]
    made = wheels.build_wheel(
        path,
        runtime=target.runtime,
        architecture=target.architecture,
        options=sdist.CrossBuildOptions.of(settings.build.get(entry.name), settings.environment),
        work_cache=cache.section("crossbuild"),
        requirements=requirements if entry.build else None,
    )
    same_compiler(entry, made.record)
    return made


def _compiler() -> str:
    from layersmith.crossbuild import toolchain  # noqa: PLC0415 -- few layers compile anything

    return f"{COMPILER}=={toolchain.find_zig().version}"


def same_compiler(entry: LockEntry, record: Mapping[str, Any]) -> None:
    """Hold the compiler of a build against the one that the lock names.

    Args:
        entry: What was built.
        record: The record of the build.

    Raises:
        BuildError: This machine has another compiler than the lock.
    """
    locked = next((pin for pin in entry.build if pin.startswith(f"{COMPILER}==")), None)
    if locked and "compiler" in record:
        found = f"{COMPILER}=={record['compiler']['version']}"
        if found != locked:
            raise BuildError(
                f"{entry.name} is locked to {locked}, and this machine has {found}",
                cause="another compiler writes other bytes",
                hint="build with `nox -s build`, which installs locks/tools.txt, or run"
                " `nox -s lock`",
            )
