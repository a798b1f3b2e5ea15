"""A small stand-in for the OpenBLAS that numpy's wheels bundle.

The wheel keeps its own binaries; only numpy.libs/libscipy_openblas64_-HASH.so (25 MB) is replaced,
by a library of the same name (1 MB) that offers exactly the routines the wheel imports: LAPACK
from numpy's own lapack_lite, and a BLAS of this repository (csrc/). It is right where OpenBLAS is
right, runs on one thread, and is slower on large matrices; docs/cross-compiling.md has figures.
"""

from __future__ import annotations

import json
import tempfile
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import cache
from layersmith.base import architectures
from layersmith.crossbuild import toolchain
from layersmith.liteblas import compiler, imports

if TYPE_CHECKING:
    from layersmith.base.runtimes import Runtime
    from layersmith.crossbuild.toolchain import Zig
    from layersmith.liteblas.imports import Imports

FORMAT = 2
"""Counts changes of how the library is built that its other inputs do not show."""


@dataclass(frozen=True)
class LiteBlas:
    """A drop-in for one numpy wheel.

    Attributes:
        soname_path_in_wheel: Path of the library that it replaces, in the wheel.
        content: The library, stripped.
        record: What it was made from, for the manifest; JSON values only.
    """

    soname_path_in_wheel: str
    content: bytes
    record: dict[str, Any]


def drop_in(numpy_wheel: Path, sdist: Path, *, runtime: Runtime, cache_dir: Path) -> LiteBlas:
    """Return the library that takes the place of OpenBLAS in ``numpy_wheel``.

    The same inputs give the same bytes on any machine; they are built once and then cached.

    Args:
        numpy_wheel: numpy's wheel for Linux on arm64 or x86_64.
        sdist: numpy's sdist of the same version, already checked against its hash.
        runtime: The Lambda runtime, whose glibc is linked against.
        cache_dir: Folder for finished libraries and for the compiler's own cache.

    Raises:
        BuildError: The wheel bundles no OpenBLAS that can be replaced, or the library does not
            build or fails its check; the message names the symbol.
    """
    compiler_found = toolchain.find_zig()
    sha256 = cache.sha256_file(sdist)
    key = _key(numpy_wheel, sha256, runtime, compiler_found)
    if cached := _read(cache_dir / key):
        return cached
    wanted = imports.read(numpy_wheel)
    triple = toolchain.triple(runtime, wanted.architecture)
    # Wheels of one numpy for several Pythons import the same: their library is built once.
    wanted_alike = json.dumps([asdict(replace(wanted, importers=())), triple, sha256])
    shared = cache_dir / cache.sha256_bytes(f"{_tools(compiler_found)}\n{wanted_alike}".encode())
    with _turns.setdefault(str(shared), threading.Lock()):
        made = _read(shared)
        if made is None:
            made = _built(wanted, sdist, runtime, compiler_found, cache_dir)
            _write(shared, made)
    _write(cache_dir / key, made)
    return made


_turns: dict[str, threading.Lock] = {}
"""One lock for each library: two targets that need it at once build it once."""


def _built(
    wanted: Imports, sdist: Path, runtime: Runtime, compiler_found: Zig, cache_dir: Path
) -> LiteBlas:
    triple = toolchain.triple(runtime, wanted.architecture)
    with tempfile.TemporaryDirectory(prefix="layersmith-") as scratch:
        folder = Path(scratch)
        compiler.unpack(sdist, folder, wanted.routines)
        content = compiler.build(
            compiler_found, triple, wanted, folder, toolchain.zig_environment(cache_dir)
        )
    record = {
        "numpy": wanted.version,
        "library": wanted.library,
        "sdist": {"filename": sdist.name, "sha256": cache.sha256_file(sdist)},
        "shim": compiler.shim_digest(),
        "compiler": compiler_found.record,
        "target": triple,
        "symbols": len(wanted.symbols),
        "glibc": imports.check_drop_in(content, wanted, runtime),
        "size": len(content),
        "sha256": cache.sha256_bytes(content),
    }
    return LiteBlas(wanted.library, content, record)


def _key(numpy_wheel: Path, sdist: str, runtime: Runtime, compiler_found: Zig) -> str:
    triple = toolchain.triple(runtime, _architecture(numpy_wheel))
    parts = [_tools(compiler_found), cache.sha256_file(numpy_wheel), sdist, triple]
    return cache.sha256_bytes("\n".join(parts).encode())


def _tools(compiler_found: Zig) -> str:
    options = json.dumps([compiler.COMMON, compiler.TRANSLATED])
    return "\n".join([str(FORMAT), compiler_found.version, compiler.shim_digest(), options])


def _architecture(numpy_wheel: Path) -> str:
    # The tag is enough for the cache's key; what is built follows the ELF files.
    machines = architectures.MACHINES.values()
    return next((one.name for one in machines if numpy_wheel.stem.endswith(one.wheel)), "x86_64")


def _read(folder: Path) -> LiteBlas | None:
    """Return what is cached in ``folder`` if it is whole."""
    try:
        record = json.loads((folder / "record.json").read_text("utf-8"))
        content = (folder / "lib.so").read_bytes()
        whole = cache.sha256_bytes(content) == record["sha256"]
        return LiteBlas(record["library"], content, record) if whole else None
    except (OSError, ValueError, KeyError):
        return None


def _write(folder: Path, made: LiteBlas) -> None:
    """Cache a library; the record comes last, and a library without one does not count."""
    cache.write_bytes(folder / "lib.so", made.content)
    cache.write_text(folder / "record.json", json.dumps(made.record, indent=1) + "\n")
