"""Adds bytecode that is never stale to a layer.

A zip with fixed dates makes every timestamp .pyc stale, so that Lambda compiles everything at
every cold start; unchecked-hash .pyc files (PEP 552) are loaded as they are. They are compiled by
an interpreter of the target's minor version, and cached per distribution in zips whose compressed
bytes the archive takes over like those of a wheel.
"""

from __future__ import annotations

import os
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from layersmith import cache, process
from layersmith.assemble import archive, wheel
from layersmith.assemble.tree import Bytes, Entry, WheelMember
from layersmith.base import interpreters
from layersmith.config.models import BytecodeMode
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layersmith.assemble.tree import Tree
    from layersmith.base.runtimes import Runtime
    from layersmith.recipes.models import RecipeUse

WORKER = Path(__file__).with_name("bytecode_worker.py")
RECORD_HEAD = struct.Struct(">II")
LAYERS, TASK = "/opt/", "/var/task/"
"""Where Lambda unpacks layers, and the package of a function (LAMBDA_TASK_ROOT)."""

RULE_ONLY = "bytecode: only"

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
) -> str | None:
    """Add the bytecode of every source in ``tree``.

    Args:
        tree: The layer, already pruned.
        runtime: The runtime that will load it.
        mode: With ``only``, sources that compile make room for their bytecode.
        optimize: 1 leaves out asserts, 2 docstrings as well.
        recipes: Those that apply; some put bytecode in the place of their distribution's sources.
        place: Where Lambda unpacks the zip, ``LAYERS`` or ``TASK``.

    Returns:
        Why there is no bytecode, where the machine has no interpreter of that version.

    Raises:
        BuildError: The interpreter failed.
    """
    if mode is BytecodeMode.NONE:
        return None
    interpreter = interpreters.find(runtime.minor)
    if interpreter is None:
        return (
            f"no CPython {runtime.python_version} on this machine and none to download: "
            "the layer holds no bytecode and will start more slowly"
        )
    groups: dict[str, list[Entry]] = {}
    for entry in tree:
        if entry.path.endswith(".py"):
            groups.setdefault(entry.distribution, []).append(entry)
    only = {use.name: use.bytecode.optimize for use in recipes if use.bytecode}
    with ThreadPoolExecutor(len(groups) or 1) as pool:
        jobs = {}
        for name, group in groups.items():
            level = only.get(name, optimize)
            jobs[name] = pool.submit(_compiled, group, interpreter, runtime, level, place)
    for name, job in jobs.items():
        merge(tree, job.result(), BytecodeMode.ONLY if name in only else mode)
    return None


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


def _compiled(
    group: list[Entry], interpreter: Path, runtime: Runtime, optimize: int, place: str
) -> list[Entry]:
    """Return the bytecode of one distribution, from the cache where it is there."""
    pack = cache.section("bytecode") / f"{_digest(group, runtime, optimize, place)}.zip"
    distribution = group[0].distribution
    if not pack.exists():
        with _slots:
            compiled = _compile(group, interpreter, runtime, optimize, place)
        entries = [
            Entry(cached_path(path, runtime), Bytes(content), distribution)
            for path, content in sorted(compiled.items())
            if content
        ]
        with cache.atomic_writer(pack) as stream:
            archive.write(stream, entries, workers=1)
    members = wheel.locate(pack, wheel.directory(pack))
    return [Entry(path, member, distribution) for path, member in members.items()]


def _compile(
    group: list[Entry], interpreter: Path, runtime: Runtime, optimize: int, place: str
) -> dict[str, bytes]:
    """Run the interpreter over sources and return path to .pyc, empty where none could be made."""
    records = []
    paths = {entry.inner if place == TASK else entry.path: entry for entry in group}
    for path, entry in paths.items():
        name, content = path.encode(), entry.source.read()
        records.append(RECORD_HEAD.pack(len(name), len(content)) + name + content)
    try:
        # Up to 3.10 marshal writes sets in the order of their hashes.
        answer = process.pipe(
            [interpreter, "-S", "-s", "-B", WORKER, str(optimize), place],
            b"".join(records),
            env={"PYTHONHASHSEED": "0"},
        )
    except process.CommandFailed as failed:
        raise BuildError(
            f"compiling the sources of {group[0].distribution} failed: {failed.output[-500:]}",
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


def _digest(group: list[Entry], runtime: Runtime, optimize: int, place: str) -> str:
    lines = [runtime.bytecode_tag, str(optimize), place, cache.sha256_file(WORKER)]
    lines += [f"{entry.path} {_identity(entry)}" for entry in group]
    return cache.sha256_bytes("\n".join(lines).encode())


def _identity(entry: Entry) -> str:
    source = entry.source
    if isinstance(source, WheelMember):
        # The folder's name in the store is the SHA-256 of the wheel.
        return f"{source.wheel.parent.name} {source.crc:08x} {source.size}"
    return cache.sha256_bytes(source.read())
