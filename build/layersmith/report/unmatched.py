"""Says which entries of layers.yaml name nothing: a misspelt exclude has no effect by itself.

An entry of ``defaults``, or of a layer with several targets, is said only where it names nothing in
any target that it holds for.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from packaging.utils import canonicalize_name
from pathspec import GitIgnoreSpec

from layersmith import lock
from layersmith.assemble.tree import PREFIX
from layersmith.base import runtimes
from layersmith.base.modules import excepted, modules_of
from layersmith.errors import LockError, closest
from layersmith.plan import plan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from layersmith.assemble.manifest import Manifest
    from layersmith.config.document import Position
    from layersmith.config.loader import LoadedConfig
    from layersmith.lock import Lock
    from layersmith.plan import Target

ALIKE = 0.8
"""Similarity (difflib) from which a forbidden module is taken for a misspelt one; what is merely
not there is the point of ``forbid-imports``."""


@dataclass
class _Entry:
    """One entry of layers.yaml with what it could have meant."""

    key: str
    name: str
    known: set[str] = field(default_factory=set)
    matched: bool = False
    judged: bool = True


class _Judged(NamedTuple):
    """One entry in the light of one target."""

    position: Position
    key: str
    name: str
    known: Collection[str] | None
    """The names that there are; None where the target cannot be judged."""
    matched: bool


def in_locks(loaded: LoadedConfig, locks: Mapping[str, Lock]) -> list[str]:
    """Name the entries that name no distribution.

    Args:
        loaded: The configuration.
        locks: Locks by identifier; those of other targets are read from locks/.
    """
    return _said(
        loaded, (one for target in _targets(loaded) for one in _names(loaded, target, locks))
    )


def in_layers(loaded: LoadedConfig, manifests: Iterable[Manifest]) -> list[str]:
    """Name the entries that name no file or module of what was built.

    Args:
        loaded: The configuration.
        manifests: Of the targets that were built; what holds for others as well is not judged.
    """
    built = {manifest.identifier: manifest for manifest in manifests}
    return _said(
        loaded,
        (
            one
            for target in _targets(loaded)
            for one in _files(loaded, target, built.get(target.identifier))
        ),
    )


def _targets(loaded: LoadedConfig) -> list[Target]:
    return plan(loaded.config)


def _said(loaded: LoadedConfig, judged: Iterable[_Judged]) -> list[str]:
    entries: dict[Position, _Entry] = {}
    for position, key, name, known, matched in judged:
        entry = entries.setdefault(position, _Entry(key, name))
        entry.matched |= matched
        entry.judged &= known is not None
        entry.known |= set(known or ())
    return [
        f"{loaded.path.name}:{line}:{column}: {entry.key}: {entry.name} names nothing"
        + _closest(entry)
        for (line, column), entry in sorted(entries.items())
        if entry.judged and not entry.matched
    ]


def _closest(entry: _Entry) -> str:
    """Return what was probably meant; of a path the first folder decides."""
    first, slash, rest = entry.name.partition("/")
    close = closest(first, entry.known)
    return f"; did you mean {close}{slash}{rest}?" if close and close != first else ""


def _names(loaded: LoadedConfig, target: Target, locks: Mapping[str, Lock]) -> Iterator[_Judged]:
    settings = target.settings
    locked = locks.get(target.identifier)
    if locked is None:
        with contextlib.suppress(LockError):
            locked = lock.read(lock.lock_path(target, loaded.root))
    names = None if locked is None else {entry.name for entry in locked.entries}
    for key in ("excludes", "stubs", "build", "cool-down-exceptions"):
        for raw in _written(loaded, target, key):
            position = loaded.position("layers", target.layer, key, raw)
            name = canonicalize_name(raw)
            yield _Judged(position, key, raw, names, names is not None and name in names)
    for number, kept in enumerate(settings.keep_provided):
        position = loaded.position("layers", target.layer, "keep-provided", number)
        brought = {one for versions in target.managed_layers.values() for one in versions}
        provided = target.runtime.provided | brought
        matched = kept in provided and (names is None or kept in names)
        yield _Judged(position, "keep-provided", kept, names and provided, matched)


def _written(loaded: LoadedConfig, target: Target, key: str) -> list[str]:
    """Return the keys of a mapping as they are written."""
    layers = loaded.tree.child("layers")
    layer = layers.child(target.layer) if layers else None
    node = layer.child(key) if layer else None
    return list(node.value) if node and isinstance(node.value, dict) else []


def _files(loaded: LoadedConfig, target: Target, built: Manifest | None) -> Iterator[_Judged]:
    settings = target.settings
    if not (settings.prune.add or settings.import_exceptions or settings.forbid_imports):
        return
    paths = [file.path for file in built.files] if built else []
    removed = {pruned.rule for pruned in built.pruned} if built else set()
    folders = {path.removeprefix(PREFIX).split("/")[0] for path in paths}
    names = [module.name for module in modules_of(paths)]
    for number, pattern in enumerate(settings.prune.add):
        position = loaded.position("layers", target.layer, "prune", "add", number)
        spec = GitIgnoreSpec.from_lines([pattern])
        matched = pattern in removed or any(spec.match_file(p.removeprefix(PREFIX)) for p in paths)
        yield _Judged(position, "prune.add", pattern, folders if built else None, matched)
    for pattern in settings.import_exceptions:
        position = loaded.position("layers", target.layer, "import-exceptions", pattern)
        matched = any(excepted(name, {pattern: ""}) for name in names)
        yield _Judged(position, "import-exceptions", pattern, names if built else None, matched)
    known = {*runtimes.stdlib(target.runtime), *(name.partition(".")[0] for name in names)}
    known |= {dropped.name.replace("-", "_") for dropped in built.dropped} if built else set()
    for number, pattern in enumerate(settings.forbid_imports):
        position = loaded.position("layers", target.layer, "forbid-imports", number)
        top = pattern.partition(".")[0]
        misspelt = top not in known and closest(top, known, cutoff=ALIKE)
        yield _Judged(position, "forbid-imports", pattern, known if built else None, not misspelt)
