"""Locks how an sdist is compiled: the compiler's version and those of the build requirements.

Without them a machine that builds next month would take newer tools and write other bytes. What is
needed for a build only the build itself tells, so it is done once while locking.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from layersmith import cache, lock
from layersmith.crossbuild import host
from layersmith.errors import BuildError
from layersmith.lock import wheelstore

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.crossbuild import BuiltWheel
    from layersmith.lock.document import Lock, LockEntry
    from layersmith.plan import Target

COMPILER = "zig"


def add(new: Lock, old: Lock | None, target: Target, root: Path) -> Lock:
    """Return a lock in which every sdist that compiles has its pins.

    Args:
        new: The lock as resolved.
        old: The lock before, whose pins stay where the sdist did.
        target: Its target.
        root: Folder of layers.yaml.
    """
    sdists = [entry for entry in new.entries if not entry.is_wheel]
    if not sdists:
        return new
    urls = lock.urls(new, target, root=root)
    pinned = {entry.name: _pinned(entry, old, target, urls[entry.sha256][0]) for entry in sdists}
    return replace(new, entries=[pinned.get(entry.name, entry) for entry in new.entries])


def _pinned(entry: LockEntry, old: Lock | None, target: Target, url: str) -> LockEntry:
    before = old.entry(entry.name) if old else None
    if before and before.sha256 == entry.sha256 and _compiler() in before.build:
        return replace(entry, build=before.build)
    try:
        path = wheelstore.verified(entry.sha256, entry.filename)
        if path is None:
            path = wheelstore.fetch_one(wheelstore.Download(entry.sha256, url, entry.filename))
        if entry.name not in target.settings.build and not host.compiles(path):
            return entry
        record = compile_sdist(entry, path, target).record
    except BuildError:
        # The build says what is wrong with it; a lock of everything else is still worth having.
        return entry
    if "build_requirements" not in record:
        return entry
    compiler = f"{COMPILER}=={record['compiler']['version']}"
    return replace(entry, build=(compiler, *record["build_requirements"]))


def compile_sdist(entry: LockEntry, path: Path, target: Target) -> BuiltWheel:
    """Compile an sdist for its target, with the tools that the lock names where it names any.

    Raises:
        BuildError: It does not build, or this machine has another compiler than the lock.
    """
    from layersmith import crossbuild  # noqa: PLC0415 -- few layers compile anything

    settings = target.settings
    requirements = [pin for pin in entry.build if not pin.startswith(f"{COMPILER}==")]
    made = crossbuild.build_wheel(
        path,
        runtime=target.runtime,
        architecture=target.architecture,
        options=crossbuild.CrossBuildOptions.of(
            settings.build.get(entry.name), settings.environment
        ),
        work_cache=cache.section("crossbuild"),
        requirements=requirements if entry.build else None,
    )
    _same_compiler(entry, made)
    return made


def _compiler() -> str:
    from layersmith.crossbuild import zig  # noqa: PLC0415 -- few layers compile anything

    return f"{COMPILER}=={zig.find().version}"


def _same_compiler(entry: LockEntry, made: BuiltWheel) -> None:
    locked = next((pin for pin in entry.build if pin.startswith(f"{COMPILER}==")), None)
    if locked and "compiler" in made.record:
        found = f"{COMPILER}=={made.record['compiler']['version']}"
        if found != locked:
            raise BuildError(
                f"{entry.name} is locked to {locked}, and this machine has {found}",
                cause="another compiler writes other bytes",
                hint="build with `nox -s build`, which installs locks/tools.txt, or run"
                " `nox -s lock`",
            )
