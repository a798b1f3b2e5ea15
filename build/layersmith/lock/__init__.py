"""The lock step: resolve a target, check its lock, and say where the locked files are."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from layersmith import cache
from layersmith.errors import LockError
from layersmith.lock import explain, provided, requirements, resolver, yanked
from layersmith.lock import inputs as lockinputs
from layersmith.lock.document import CONFIG, Lock, LockEntry, orphans, read, write
from layersmith.lock.requirements import at_commit
from layersmith.lock.resolver import File, Unresolvable
from layersmith.lock.rounds import resolution_of
from layersmith.plan import Brought

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from layersmith.lock.inputs import LockInputs
    from layersmith.lock.resolver import Offer
    from layersmith.plan import Target

__all__ = [
    "CONFIG",
    "Lock",
    "LockEntry",
    "check",
    "folders",
    "inputs_digest",
    "lock_path",
    "orphans",
    "read",
    "resolve",
    "urls",
    "with_layers",
    "with_recipes",
    "write",
]


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
        LockError: It is missing, damaged or out of date, where the message says what changed; or it
            does not accept what the runtime provides.
    """
    lock = read(lock_path(target, root))
    inputs = lockinputs.collect(target, root, lock.members, {one.name for one in lock.entries})
    parts = inputs.parts
    keys = sorted({*parts, *lock.parts})
    changed = [key for key in keys if lock.parts.get(key) != parts.get(key)]
    if not changed and set(lock.packages) != set(inputs.packages):
        changed = ["packages"]
    numpy = lock.entry("numpy") if target.settings.lite_blas else None
    if not changed and numpy and numpy.is_wheel and numpy.source is None:
        changed = ["lite-blas"]
    if changed:
        raise LockError(
            f"the lock no longer fits: {', '.join(changed)} changed since it was written",
            target=target.identifier,
            cause="layers.yaml, or a file or local package that it names, was edited",
            hint=f"run `nox -s lock -- --layer {target.layer}` and commit locks/",
        )
    provided.check(target, lock, inputs)
    return lock


def with_layers(target: Target, root: Path, *, strict: bool = False) -> Target:
    """Return the package of a function with what its layers bring, as far as they are locked.

    Args:
        target: The target; nothing changes where it is a layer.
        root: Folder of layers.yaml.
        strict: Take only locks that fit.

    Raises:
        ConfigError: A recipe is not valid.
        LockError: A lock does not fit, where ``strict``.
    """
    if target.function is None:
        return target
    brought: dict[str, Brought] = {}
    for layer in target.beside:
        try:
            lock = check(layer, root) if strict else read(lock_path(layer, root))
        except LockError as problem:
            if not strict:
                continue
            raise LockError(
                f"its layer {layer.layer} has no lock that fits: {problem.message}",
                target=target.identifier,
                hint="run `nox -s lock`, and correct what it says of that layer",
            ) from problem
        settled = layer.under(lock.entries)
        left_out = {*settled.provided, *settled.settings.excludes}
        versions = {entry.name: entry.version for entry in lock.entries}
        versions |= dict.fromkeys((*lock.packages, *lock.members), "")
        brought |= {
            name: Brought(name, version, layer.layer)
            for name, version in versions.items()
            if name not in left_out
        }
    return replace(target, brought=brought)


def with_recipes(target: Target, root: Path) -> Target:
    """Return a target with what recipes and layers change, as far as it and they are locked.

    A lock that is missing or damaged changes nothing here: `check` says it.

    Raises:
        ConfigError: A recipe is not valid.
    """
    target = with_layers(target, root)
    try:
        return target.under(read(lock_path(target, root)).entries)
    except LockError:
        return target


def resolve(target: Target, root: Path, *, upgrade: bool | Collection[str] = False) -> Lock:
    """Resolve a target anew; versions of its present lock are kept where they fit.

    A version that was yanked since is not kept.

    Args:
        target: The target.
        root: Folder of layers.yaml.
        upgrade: Names of distributions to bring to their newest version; True for all.

    Raises:
        LockError: There is no solution, a distribution has no wheel for the target, or what the
            runtime provides does not fit.
    """
    inputs = lockinputs.collect(target, root)
    present = _preferences(lock_path(target, root), upgrade)
    kept = provided.preferred(target, ({**dict(present), **inputs.pins}).items())
    inputs = _at_commits(inputs, lock_path(target, root), {name for name, _ in kept})
    resolution = resolution_of(target, inputs, root, kept)
    held = {name for name, _ in kept} - set(target.provided)
    locked = [
        (offer.name, offer.version, file.filename)
        for offer, file in resolution.chosen
        if offer.name in held
    ]
    if bad := yanked.among(target, locked, root):
        # The present lock holds them; without it uv takes others, where requirements let it.
        with contextlib.suppress(LockError):
            others = [pin for pin in kept if pin[0] not in bad]
            resolution = resolution_of(target, inputs, root, others)
    chosen = resolution.chosen
    _refuse_young(target, root, {name for name, _ in present}, chosen)
    pins = [(offer.name, offer.version) for offer, _ in chosen]
    hashes = [file.sha256 or "" for _, file in chosen]
    try:
        via, indexes = resolver.graph(
            target, inputs, pins, root, hashes=hashes if all(hashes) else ()
        )
    except Unresolvable as problem:
        raise explain.refusal(target, problem.explanation, root) from None
    entries = [
        replace(
            _entry(target, offer, file, via.get(offer.name, ())),
            index=indexes.get(offer.name, ""),
        )
        for offer, file in chosen
    ]
    members = resolution.members(inputs, root)
    inputs = lockinputs.collect(target, root, members, {name for name, _ in pins})
    entries.sort(key=lambda entry: entry.name)
    lock = Lock(entries, inputs.digest, inputs.parts, members=members)
    provided.check(target, lock, inputs, root)
    provided.refuse_empty(target, lock, inputs)
    _remember(lock, target, [file for _, file in chosen])
    return lock


def folders(lock: Lock, target: Target) -> list[str]:
    """Return the folders of the local packages that go into a layer, relative to layers.yaml."""
    left_out = {*target.settings.excludes, *target.settings.stubs}
    left_out |= set(target.provided)
    members = [folder for name, folder in lock.members.items() if name not in left_out]
    return [*target.settings.packages, *members]


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
    files = _offered(lock, target, root or Path.cwd())
    offered = {file.sha256 for file in files}
    for locked in (file for entry in lock.entries for file in entry.files):
        if locked.sha256 not in offered:
            raise LockError(
                f"the index does not offer {locked.filename} with the locked hash",
                target=target.identifier,
                cause="the file was withdrawn, or another index is configured here",
                hint=f"run `nox -s lock -- --layer {target.layer}` to choose another file",
            )
    return _remember(lock, target, files)


def _offered(lock: Lock, target: Target, root: Path) -> list[File]:
    """Return the files that the index offers of the locked versions, and those of URLs."""
    inputs = lockinputs.collect(target, root, lock.members)
    direct = requirements.direct(inputs.requirements)
    given = [_given(entry, direct[entry.name]) for entry in lock.entries if entry.name in direct]
    pins = [f"{one.name}=={one.version}" for one in lock.entries if one.name not in direct]
    sdists = {entry.name for entry in lock.entries if not entry.is_wheel}
    asked = {
        package.folder: {entry.name for entry in lock.entries if who in entry.via}
        for who, package in inputs.packages.items()
    }
    try:
        offers = resolver.offers(
            target, pins, root, from_source=sdists, asked=asked, sources=inputs.sources
        )
        python = target.runtime.python_version
        sources = [
            resolver.sdist(entry.name, entry.version, python, root)
            for entry in lock.entries
            if entry.source
        ]
    except Unresolvable as problem:
        raise explain.refusal(target, problem.explanation, root) from None
    found = [*(file for offer in offers for file in offer.files), *filter(None, sources)]
    return [*given, *found]


def _given(entry: LockEntry, url: str) -> File:
    """Return the file of a distribution that was asked for by its URL."""
    place = at_commit(url, entry.commit) if entry.commit else url.partition("#")[0]
    return File(entry.filename, place, entry.sha256, None)


def _preferences(path: Path, upgrade: bool | Collection[str]) -> list[tuple[str, str]]:
    if upgrade is True:
        return []
    try:
        entries = read(path).entries
    except LockError:
        return []
    names = set() if upgrade is False else set(upgrade)
    return [(e.name, e.version) for e in entries if e.name not in names]


def _at_commits(inputs: LockInputs, path: Path, kept: Collection[str]) -> LockInputs:
    """Return the inputs with git requirements at the commits of the present lock.

    Args:
        inputs: The inputs; nothing is changed where other requirements were locked.
        path: The lock.
        kept: Normalized names that are not to be upgraded.
    """
    try:
        old = read(path)
    except LockError:
        return inputs
    if old.parts.get("requirements") != inputs.parts["requirements"]:
        return inputs
    commits = {e.name: e.commit for e in old.entries if e.commit and e.name in kept}
    lines = []
    for line in inputs.requirements:
        requirement = Requirement(line)
        commit = commits.get(canonicalize_name(requirement.name))
        if requirement.url and commit:
            requirement.url = at_commit(requirement.url, commit)
        lines.append(str(requirement))
    return replace(inputs, requirements=lines)


def _refuse_young(
    target: Target, root: Path, kept: Collection[str], chosen: Iterable[tuple[Offer, File]]
) -> None:
    """Refuse to take an older version for one that the lock holds within the cool-down.

    uv would take it and say nothing.

    Args:
        target: The target.
        root: Folder in which uv looks for its configuration.
        kept: Normalized names that are not to be upgraded.
        chosen: What was resolved.

    Raises:
        LockError: The present lock holds a file that was not uploaded before the cutoff.
    """
    latest = resolver.cutoff(target)
    if latest is None or not kept:
        return
    free = set(map(canonicalize_name, target.settings.cool_down_exceptions))
    hashes = {offer.name: file.sha256 for offer, file in chosen}
    for entry in read(lock_path(target, root)).entries:
        if entry.name not in kept or hashes.get(entry.name) in (None, entry.sha256):
            continue
        files = explain.exact_files(target, entry.name, entry.version, root)
        uploaded = next((one.uploaded for one in files if one.sha256 == entry.sha256), None)
        if uploaded and uploaded >= latest and entry.name not in free:
            raise LockError(
                f"{entry.filename} was uploaded {uploaded:%Y-%m-%d %H:%M} UTC, within the cool-down"
                " of layers.yaml, and the lock holds it",
                target=target.identifier,
                cause="it was locked before layers.yaml asked for the cool-down, or under an"
                " exception",
                hint=f"run `nox -s lock -- --upgrade {entry.name}` for an older version, or list"
                f" {entry.name} under `cool-down-exceptions` with the reason",
            )


def _entry(target: Target, offer: Offer, file: File, via: tuple[str, ...]) -> LockEntry:
    if file.sha256 is None:
        raise LockError(
            f"the index gives no SHA-256 for {file.filename}",
            target=target.identifier,
            cause="its pages hold no hashes, which PEP 503 leaves open",
            hint="use an index that serves hashes",
        )
    return LockEntry(
        offer.name, offer.version, file.sha256, file.filename, via, commit=offer.commit
    )


def _urls_path(lock: Lock, target: Target) -> Path:
    hashes = [file.sha256 for entry in lock.entries for file in entry.files]
    content = [target.uv_platform, target.runtime.name, *hashes]
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
    wanted = {file.sha256 for entry in lock.entries for file in entry.files}
    listed = {
        file.sha256: (file.url, file.filename, file.size) for file in files if file.sha256 in wanted
    }
    known = {sha256: place for sha256, place in listed.items() if sha256 is not None}
    if not any(urlsplit(url).query for url, _, _ in known.values()):
        # What an index signs stands in the query: it opens a file to everybody, for a while.
        cache.write_text(_urls_path(lock, target), json.dumps(known, sort_keys=True))
    return known
