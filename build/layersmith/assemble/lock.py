"""The lock step: resolve a target, check its lock, and say where the locked files are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache
from layersmith.assemble import lockinputs, uvresolver, wheeltags
from layersmith.assemble.lockfile import CONFIG, Lock, LockEntry, read, write
from layersmith.assemble.uvresolver import Pin, Unresolvable
from layersmith.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from layersmith.assemble.lockinputs import Inputs
    from layersmith.assemble.uvresolver import File
    from layersmith.plan import Target

__all__ = [
    "CONFIG",
    "Lock",
    "LockEntry",
    "check",
    "inputs_digest",
    "lock_path",
    "read",
    "resolve",
    "urls",
    "write",
]

MAX_ROUNDS = 25
"""How many distributions that exist as sdists alone one target may find out about."""

_NO_WHEEL = re.compile(r"Wheels are required for `([^`]+)`")
"""uv's hint for a distribution without a wheel that any platform of the kind could use."""


def lock_path(target: Target, root: Path) -> Path:
    """Return where the lock of a target is kept."""
    return root / "locks" / f"{target.identifier}.txt"


def inputs_digest(target: Target, root: Path) -> str:
    """Return the SHA-256 of what the target's lock is resolved from, in hex.

    Raises:
        LockError: A requirements file or local package cannot be read.
    """
    return lockinputs.collect(target, root).digest


def check(target: Target, root: Path) -> Lock:
    """Return the lock of a target if it still fits its inputs. Nothing is asked of an index.

    Raises:
        LockError: It is missing, damaged or out of date; the message says what changed.
    """
    lock = read(lock_path(target, root))
    parts = lockinputs.collect(target, root).parts
    changed = sorted(key for key in parts if lock.parts.get(key) != parts[key])
    if changed:
        raise LockError(
            f"the lock no longer fits: {', '.join(changed)} changed since it was written",
            target=target.identifier,
            cause="layers.yaml, a requirements file or a local package was edited",
            hint=f"run `nox -s lock -- --layer {target.layer}` and commit locks/",
        )
    return lock


def resolve(target: Target, root: Path, *, upgrade: bool | Collection[str] = False) -> Lock:
    """Resolve a target anew; versions of its present lock are kept where they fit.

    Args:
        target: The target.
        root: Folder of layers.yaml.
        upgrade: Names of distributions to bring to their newest version; True for all.

    Raises:
        LockError: There is no solution, or a distribution has no wheel for the target.
    """
    inputs = lockinputs.collect(target, root)
    kept = _preferences(lock_path(target, root), upgrade)
    pins, from_source = _resolve(target, inputs, root, kept)
    found = _files(target, pins, root, from_source)
    entries = [_entry(target, pin, found.get(pin.name, [])) for pin in pins]
    lock = Lock(sorted(entries, key=lambda entry: entry.name), inputs.digest, inputs.parts)
    _remember(lock, target, [file for files in found.values() for file in files])
    return lock


def urls(
    lock: Lock, target: Target, *, root: Path | None = None, refresh: bool = False
) -> dict[str, tuple[str, str, int | None]]:
    """Return where the files of a lock are: SHA-256 to (URL, file name, bytes if known).

    A URL is ``https:``, or ``file:`` where the index is a folder. It holds no login. The answer
    is cached; locks name no index, so on a new machine uv is asked once.

    Args:
        lock: The lock.
        target: Its target.
        root: Folder in which uv looks for its configuration; by default the current one.
        refresh: Ask again, for when a URL of the cache is gone.

    Raises:
        LockError: The index does not offer a locked file any more.
    """
    path = _urls_path(lock, target)
    if not refresh and (cached := _cached_urls(path)) is not None:
        return cached
    pins = [Pin(entry.name, entry.version, ()) for entry in lock.entries]
    sdists = {entry.name for entry in lock.entries if not entry.is_wheel}
    found = _files(target, pins, root or Path.cwd(), sdists)
    offered = {file.sha256 for files in found.values() for file in files}
    for entry in lock.entries:
        if entry.sha256 not in offered:
            raise LockError(
                f"the index does not offer {entry.filename} with the locked hash",
                target=target.identifier,
                cause="the file was withdrawn, or another index is configured here",
                hint=f"run `nox -s lock -- --layer {target.layer}` to choose another file",
            )
    return _remember(lock, target, [file for files in found.values() for file in files])


def _preferences(path: Path, upgrade: bool | Collection[str]) -> list[Pin]:
    if upgrade is True:
        return []
    try:
        entries = read(path).entries
    except LockError:
        return []
    names = set() if upgrade is False else set(upgrade)
    return [Pin(e.name, e.version, ()) for e in entries if e.name not in names]


def _resolve(
    target: Target, inputs: Inputs, root: Path, kept: list[Pin]
) -> tuple[list[Pin], set[str]]:
    """Return the pins and the names of what is taken as an sdist.

    A distribution that exists as an sdist alone is found out by uv's refusal, and then allowed.
    """
    from_source = set(target.settings.build)
    for _ in range(MAX_ROUNDS):
        try:
            pins = uvresolver.resolve(
                target, inputs, root, preferences=kept, from_source=from_source
            )
        except Unresolvable as refusal:
            lacking = set(_NO_WHEEL.findall(refusal.explanation)) - from_source
            if not lacking:
                raise _refused(target, refusal.explanation) from None
            from_source |= lacking
            continue
        names = {pin.name for pin in pins}
        return pins, from_source & names
    raise _refused(target, f"more than {MAX_ROUNDS} distributions have no wheel at all")


def _refused(target: Target, explanation: str) -> LockError:
    return LockError(
        f"the requirements do not resolve for {target.uv_platform}. uv says:\n{explanation}",
        target=target.identifier,
    )


def _files(
    target: Target, pins: Iterable[Pin], root: Path, from_source: Collection[str]
) -> dict[str, list[File]]:
    exact = [(pin.name, pin.version) for pin in pins]
    try:
        listed = uvresolver.files(target, exact, root, from_source=from_source)
    except Unresolvable as refusal:
        raise _refused(target, refusal.explanation) from None
    found: dict[str, list[File]] = {}
    for file in listed:
        found.setdefault(file.name, []).append(file)
    return found


def _entry(target: Target, pin: Pin, files: list[File]) -> LockEntry:
    """Return the lock's entry: the one file that the target uses."""
    by_name = {file.filename: file for file in files}
    wheels = [file.filename for file in files if file.is_wheel]
    chosen = wheeltags.best(wheels, target.runtime, target.architecture)
    if chosen is None:
        chosen = next((file.filename for file in files if not file.is_wheel), None)
    if chosen is None:
        raise LockError(
            f"{pin.name} {pin.version} has no file that the target can use",
            target=target.identifier,
        )
    sha256 = by_name[chosen].sha256
    if sha256 is None:
        raise LockError(
            f"the index gives no SHA-256 for {chosen}",
            target=target.identifier,
            cause="the index does not follow PEP 503 with hashes",
            hint="use an index that serves hashes",
        )
    return LockEntry(pin.name, pin.version, sha256, chosen, pin.via)


def _urls_path(lock: Lock, target: Target) -> Path:
    content = [target.uv_platform, target.runtime.name, *(e.sha256 for e in lock.entries)]
    key = cache.sha256_bytes("\n".join(content).encode())
    return cache.section("urls") / f"{key}.json"


def _cached_urls(path: Path) -> dict[str, tuple[str, str, int | None]] | None:
    try:
        listed = json.loads(path.read_text("utf-8"))
        return {sha256: (str(url), str(name), size) for sha256, (url, name, size) in listed.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return None


def _remember(
    lock: Lock, target: Target, files: Iterable[File]
) -> dict[str, tuple[str, str, int | None]]:
    wanted = {entry.sha256 for entry in lock.entries}
    listed = {
        file.sha256: (file.url, file.filename, file.size) for file in files if file.sha256 in wanted
    }
    known = {sha256: place for sha256, place in listed.items() if sha256 is not None}
    cache.write_text(_urls_path(lock, target), json.dumps(known, sort_keys=True))
    return known
