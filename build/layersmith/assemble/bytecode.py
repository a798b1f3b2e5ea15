"""Adds bytecode that is never stale to a layer.

A zip with fixed dates makes every timestamp .pyc stale, so that Lambda compiles everything at
every cold start; unchecked-hash .pyc files (PEP 552) are loaded as they are. They are compiled by
an interpreter of the target's minor version, one process for all that a target lacks, and cached
per wheel in zips whose compressed bytes the archive takes over like those of a wheel.
"""

from __future__ import annotations

import contextlib
import functools
import os
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from layersmith import cache, process
from layersmith.assemble import archive
from layersmith.assemble.tree import Bytes, Entry, stored_wheel
from layersmith.base import uv
from layersmith.config.models import BytecodeMode
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from layersmith.assemble.tree import Tree
    from layersmith.base.runtimes import Runtime
    from layersmith.recipes.models import RecipeUse

WORKER = Path(__file__).with_name("bytecode_worker.py")
RECORD_HEAD = struct.Struct(">II")
LAYERS, TASK = "/opt/", "/var/task/"
"""Where Lambda unpacks layers, and the package of a function (LAMBDA_TASK_ROOT)."""

COLUMNS = {LAYERS: ("-X", "no_debug_ranges"), TASK: ()}
"""Options of the compiler by place. The bytecode of a layer's packages holds no columns (PEP 657),
which are a fifth of it compressed: tracebacks keep files, lines and names, but no carets, which
Lambda's own reports of errors never show. A function's own code keeps them."""


RULE_ONLY = "bytecode: only"

MANY = 100
"""Sources above which the cores share them; starting a compiler takes as long as a few of them."""

# Compilers that run at once, over all targets: more than the cores only slows them down.
_slots = threading.BoundedSemaphore(os.cpu_count() or 2)


def add(
    tree: Tree,
    runtime: Runtime,
    mode: BytecodeMode,
    optimize: int = 0,
    *,
    recipes: Sequence[RecipeUse] = (),
    place: str = LAYERS,
    ahead: bool = False,
) -> str | None:
    """Add the bytecode of every source in ``tree``.

    Args:
        tree: The layer, already pruned.
        runtime: The runtime that will load it.
        mode: With ``only``, sources that compile make room for their bytecode.
        optimize: 1 leaves out asserts, 2 docstrings as well.
        recipes: Those that apply; some put bytecode in the place of their distribution's sources.
        place: Where Lambda unpacks the zip, ``LAYERS`` or ``TASK``.
        ahead: Leave the layer as it is; the next call finds the bytecode in the cache.

    Returns:
        Why there is no bytecode, where the machine has no interpreter of that version.

    Raises:
        BuildError: The interpreter failed.
    """
    if mode is BytecodeMode.NONE:
        return None
    interpreter = uv.interpreter(runtime.minor)
    if interpreter is None:
        return (
            f"no CPython {runtime.python_version} on this machine and none to download: "
            "the layer holds no bytecode and will start more slowly"
        )
    only = {use.name: use.bytecode.optimize for use in recipes if use.bytecode}
    sources: dict[tuple[str, str], list[Entry]] = {}
    for entry in tree:
        if entry.path.endswith(".py"):
            sources.setdefault((entry.distribution, stored_wheel(entry.source)), []).append(entry)
    groups = {}
    for (name, wheel), group in sources.items():
        level = only.get(name, optimize)
        key = _key(wheel, group, runtime, level, place)
        groups[key] = _Group(key, level, group)
    with contextlib.ExitStack() as stack:
        # In one order, so that two targets that share wheels never wait for each other.
        for key in sorted(groups):
            stack.enter_context(_alone(key))
        compiled = list(_compiled(list(groups.values()), interpreter, runtime, place))
    for entry in () if ahead else compiled:
        merge(tree, [entry], BytecodeMode.ONLY if entry.distribution in only else mode)
    return None


@dataclass
class _Group:
    """Sources that are compiled alike: of one wheel, or of what the build made.

    Attributes:
        key: What all of their bytecode follows from, but which of them there are.
        level: Level of optimization.
        sources: The sources.
    """

    key: str
    level: int
    sources: list[Entry]


def merge(tree: Tree, compiled: Iterable[Entry], mode: BytecodeMode) -> None:
    """Add bytecode, named as in __pycache__, or put it in the place of its sources."""
    for entry in compiled:
        if mode is BytecodeMode.ONLY:
            source = source_of(entry.path)
            tree.remove(source, RULE_ONLY)
            tree.replace(Entry(f"{source}c", entry.source, entry.distribution))
        else:
            tree.replace(entry)


def cached_path(source: str, runtime: Runtime) -> str:
    """Return where Python looks for a source's bytecode (PEP 3147)."""
    path = PurePosixPath(source)
    return str(path.parent / "__pycache__" / f"{path.stem}.{runtime.bytecode_tag}.pyc")


def source_of(cached: str) -> str:
    """Return the source of a .pyc file in __pycache__."""
    path = PurePosixPath(cached)
    return str(path.parent.parent / f"{path.name.split('.', 1)[0]}.py")


_turns: dict[str, threading.Lock] = {}


def _alone(key: str) -> threading.Lock:
    """Return the lock of a group's packs: what two targets need at once is compiled once."""
    return _turns.setdefault(key, threading.Lock())


def _compiled(
    groups: list[_Group], interpreter: Path, runtime: Runtime, place: str
) -> Iterator[Entry]:
    """Return the bytecode of all groups, from the cache where it has it."""
    packs = cache.section("bytecode")
    found = {group.key: archive.kept(packs / group.key) for group in groups}
    lacking = {
        group.key: [
            entry
            for entry in group.sources
            if cached_path(entry.path, runtime) not in found[group.key]
        ]
        for group in groups
    }
    levels = sorted({group.level for group in groups if lacking[group.key]})
    for level in levels:
        wanted = {one.key: lacking[one.key] for one in groups if one.level == level}
        made = _shared_out([*chain(*wanted.values())], interpreter, runtime, level, place)
        # One that does not compile is kept as empty, so that it is not tried again.
        new = {
            key: [
                Entry(cached_path(one.path, runtime), Bytes(made[one.path]), one.distribution)
                for one in sources
            ]
            for key, sources in wanted.items()
            if sources
        }
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for key, members in zip(
                new, pool.map(archive.keep, (packs / key for key in new), new.values()), strict=True
            ):
                found[key] |= members
    for group in groups:
        for entry in group.sources:
            path = cached_path(entry.path, runtime)
            member = found[group.key][path]
            if member.size:
                yield Entry(path, member, entry.distribution)


def _shared_out(
    sources: list[Entry], interpreter: Path, runtime: Runtime, optimize: int, place: str
) -> dict[str, bytes]:
    """Compile in one process, or in one a core where there is much to do."""
    parts = (os.cpu_count() or 2) if len(sources) > MANY else 1

    def one(part: int) -> dict[str, bytes]:
        with _slots:
            return _compile(sources[part::parts], interpreter, runtime, optimize, place)

    with ThreadPoolExecutor(parts) as pool:
        return {path: made for some in pool.map(one, range(parts)) for path, made in some.items()}


def _compile(
    sources: list[Entry], interpreter: Path, runtime: Runtime, optimize: int, place: str
) -> dict[str, bytes]:
    """Run the interpreter over sources and return path to .pyc, empty where none could be made."""
    records = []
    paths = {entry.inner if place == TASK else entry.path: entry for entry in sources}
    for path, entry in paths.items():
        name, content = path.encode(), entry.source.read()
        records.append(RECORD_HEAD.pack(len(name), len(content)) + name + content)
    try:
        # Up to 3.10 marshal writes sets in the order of their hashes.
        answer = process.pipe(
            [interpreter, "-S", "-s", "-B", *COLUMNS[place], WORKER, str(optimize), place],
            b"".join(records),
            env={"PYTHONHASHSEED": "0"},
        )
    except process.CommandFailed as failed:
        raise BuildError(
            f"compiling the sources of {_names(sources)} failed: {failed.output[-500:]}",
            cause=f"{interpreter} could not run the compiler",
        ) from failed
    compiled = _records(answer)
    magic = compiled.pop("", b"")
    if int.from_bytes(magic[:2], "little") != runtime.bytecode_magic:
        raise BuildError(
            f"{interpreter} writes bytecode that {runtime.name} does not load",
            cause="it is a pre-release of that version of Python",
            hint="install a final release, or set `bytecode: none`",
        )
    return {paths[path].path: content for path, content in compiled.items()}


def _records(data: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        name, size = RECORD_HEAD.unpack_from(data, at)
        at += RECORD_HEAD.size
        found[data[at : at + name].decode()] = data[at + name : at + name + size]
        at += name + size
    return found


def _names(sources: list[Entry]) -> str:
    return ", ".join(dict.fromkeys(entry.distribution for entry in sources))


def _key(wheel: str, group: list[Entry], runtime: Runtime, optimize: int, place: str) -> str:
    """Return the name of the folder with the bytecode of a wheel, or of what the build made."""
    lines = [runtime.bytecode_tag, str(optimize), place, *COLUMNS[place]]
    lines += [_worker(), archive.version(), wheel]
    if not wheel:
        lines += [f"{entry.path} {cache.sha256_bytes(entry.source.read())}" for entry in group]
    return cache.sha256_bytes("\n".join(lines).encode())


@functools.cache
def _worker() -> str:
    return cache.sha256_file(WORKER)
