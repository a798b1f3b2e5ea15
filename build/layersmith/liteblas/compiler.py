"""Compiles and links the drop-in: its sources, which commands, and running them in parallel.

Commands run in a scratch folder with relative paths and without debug information, so that no
path of this machine can reach the library.

LAPACK is numpy's own lapack_lite, from the sdist of the same version: LAPACK 3.2.2 in C as f2c
made it. f2c keeps every local variable of Fortran in static memory, and numpy puts a lock around
each call where it links lapack_lite. The wheel's extension modules are built for OpenBLAS and have
no such lock, so the variables are made automatic here: the library can then be called from many
threads at once. What the wheel's symbols never call is cut out before it is compiled, an eighth of
the compiler's work.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith import cache, process
from layersmith.base import damage
from layersmith.crossbuild import sdist as archives
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from layersmith.crossbuild.toolchain import Zig
    from layersmith.liteblas.imports import Imports

LAPACK = (
    "f2c_c_lapack.c",
    "f2c_d_lapack.c",
    "f2c_s_lapack.c",
    "f2c_z_lapack.c",
    "f2c_lapack.c",
)
"""LAPACK routines, by element type and shared."""

REFERENCE_BLAS = "f2c_blas.c"
"""The BLAS routines that LAPACK calls; csrc/kernels.c takes the place of the busiest ones."""

OWN = frozenset(
    {f"{letter}{name}_" for letter in "sdcz" for name in ("gemm", "gemv", "trsm")}
    | {f"i{letter}amax_" for letter in "sdcz"}
    | {f"{letter}{name}_" for letter in "sd" for name in ("syrk", "lapy2", "lapy3")}
    | {"cherk_", "zherk_"}
)
"""Routines of csrc/kernels.c and csrc/machine.c, which f2c's output has, too."""

LIBRARY = "f2c.c"
"""f2c's support library: complex division, powers, strings; helpers.h includes it."""

HEADERS = ("f2c.h", "lapack_lite_names.h")
LICENSE = "LICENSE.txt"
FOLDER = "numpy/linalg/lapack_lite/"

_LOCAL = re.compile(r"^(?P<indent>[ \t]+)static (?P<rest>.*)$", re.MULTILINE)
_CONSTANT = re.compile(r"^static (?!const\b)(?P<rest>[^(\n]*=.*)$", re.MULTILINE)
_ROUTINE = re.compile(r"^(?:/\* [\w ]+ \*/ )?\w+ (?P<name>\w+_)\(", re.MULTILINE)
_CALLED = re.compile(r"\b[a-z]\w*_\b")


def reentrant(source: str) -> str:
    """Return f2c's output without writable static memory.

    A local without an initializer becomes automatic: LAPACK keeps nothing in it between calls (it
    is built with -frecursive elsewhere). One with an initializer is a table, and f2c's file-level
    variables are the literals of the Fortran source; both become constant, so that a write to one
    could not go unseen.
    """

    def local(match: re.Match[str]) -> str:
        keyword = "static const " if "=" in match["rest"] else ""
        return f"{match['indent']}{keyword}{match['rest']}"

    return _CONSTANT.sub(r"static const \g<rest>", _LOCAL.sub(local, source))


def called_by(roots: Collection[str], sources: Mapping[str, str]) -> dict[str, str]:
    """Return f2c's sources without the routines that no root calls, nor what it calls, and so on.

    Args:
        roots: Names as Fortran has them, with f2c's underscore: ``dgesv_``.
        sources: Filename to source.
    """
    places: dict[str, tuple[str, slice]] = {}
    for filename, source in sources.items():
        for match in _ROUTINE.finditer(source):
            end = "\n} /* " + match["name"] + " */\n"
            if (at := source.find(end, match.end())) > 0:
                places.setdefault(match["name"], (filename, slice(match.start(), at + len(end))))
    left, waiting = set[str](), set(roots)
    while waiting:
        name = waiting.pop()
        if name in places and name not in left | OWN:
            left.add(name)
            filename, place = places[name]
            waiting.update(_CALLED.findall(sources[filename][place]))
    cut = dict(sources)
    # From the end of each file, so that the places before it hold.
    for name, (filename, place) in reversed(places.items()):
        if name not in left:
            cut[filename] = cut[filename][: place.start] + cut[filename][place.stop :]
    return cut


def unpack(sdist: Path, folder: Path, roots: Collection[str]) -> None:
    """Write what ``roots`` call of lapack_lite, made reentrant, to ``folder``.

    Raises:
        BuildError: The sdist does not contain the expected lapack_lite files.
    """
    wanted = {*LAPACK, REFERENCE_BLAS, LIBRARY, *HEADERS, LICENSE}
    texts = {}
    with contextlib.closing(archives.files(sdist)) as found:
        for path, content in found:
            _, _, inner = path.partition("/")
            name = inner.removeprefix(FOLDER)
            if inner.startswith(FOLDER) and name in wanted:
                with damage.told(sdist.name):
                    texts[name] = content().decode("utf-8")
            if len(texts) == len(wanted):
                break
    if lacking := wanted - texts.keys():
        raise BuildError(
            f"{sdist.name} lacks {', '.join(sorted(lacking))} of {FOLDER}",
            hint="leave `lite-blas` out for this version of numpy",
        )
    texts |= called_by(roots, {name: texts[name] for name in (*LAPACK, REFERENCE_BLAS)})
    for name, text in texts.items():
        made = reentrant(text) if name.endswith(".c") else text
        (folder / name).write_text(made, "utf-8")


SHIM = Path(__file__).with_name("csrc")

COMMON = (
    "-Iinclude",
    "-I.",
    "-DHAVE_CONFIG",  # lapack_lite's switch to config.h for the machine constants
    "-fPIC",
    "-g0",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-math-errno",
    "-fno-trapping-math",
)

TRANSLATED = (
    "-include",
    "helpers.h",
    "-ffp-contract=off",
    "-w",
)
"""For f2c's output: its helpers inlined, rounding as LAPACK was written for, and none of f2c's many
warnings. Optimizing at link time gives the same speed and a library
that is a tenth smaller, but the linker does it on one core, and most of a first build waits."""

KERNELS = {"s": ("float", 0), "d": ("double", 0), "c": ("float", 1), "z": ("double", 1)}
"""BLAS letter to the C type of its parts and whether it is complex."""

TIMEOUT = 900.0
"""Seconds for one compiler call; a cold emulated or loaded machine is slow."""


def shim_digest() -> str:
    """Return the SHA-256 over this repository's own C sources, in hex."""
    parts = [
        f"{path.relative_to(SHIM).as_posix()} {cache.sha256_file(path)}"
        for path in sorted(SHIM.rglob("*.[ch]"))
    ]
    return cache.sha256_bytes("\n".join(parts).encode())


def units(imports: Imports) -> dict[str, list[str]]:
    """Return the object files to make, each with the arguments of its compiler call."""
    names = [
        f"-DBLAS_PREFIX={imports.prefix}",
        f"-DBLAS_SUFFIX={imports.suffix}",
        f"-DBLAS_INT={imports.integer}",
    ]
    base = [*COMMON, *names]
    made = {Path(name).stem: [*base, "-Os", *TRANSLATED, name] for name in LAPACK}
    made["f2c_blas"] = [*base, "-O2", *TRANSLATED, REFERENCE_BLAS]
    made["machine"] = [*base, "-O2", "machine.c"]
    for letter, (real, is_complex) in KERNELS.items():
        kind = [f"-DLETTER={letter}", f"-DREAL={real}", f"-DCOMPLEX={is_complex}"]
        made[f"kernels_{letter}"] = [*base, "-O3", *kind, "kernels.c"]
    return made


def link_arguments(imports: Imports, objects: Sequence[str]) -> list[str]:
    """Return the arguments that link ``objects`` into ``lib.so``."""
    return [
        "-shared",
        "-s",
        "-nostdlib",  # glibc is still linked; zig would first build a runtime that nothing calls
        "-Wl,--gc-sections",
        "-Wl,--version-script=exports.map",
        "-Wl,--undefined-version",  # what is missing is named by the check that follows
        f"-Wl,-soname={imports.soname}",
        "-Wl,-z,defs",
        *objects,
        "-lm",
        "-o",
        "lib.so",
    ]


def version_script(symbols: Sequence[str]) -> str:
    """Return a linker script that exports ``symbols`` and nothing else."""
    listed = "".join(f"    {symbol};\n" for symbol in symbols)
    return f"{{\n  global:\n{listed}  local:\n    *;\n}};\n"


def build(
    zig: Zig, triple: str, imports: Imports, scratch: Path, environment: Mapping[str, str]
) -> bytes:
    """Compile what lies in ``scratch`` together with the shim, and return the library.

    Args:
        zig: The compiler.
        triple: zig's name of the target.
        imports: What the library must offer.
        scratch: Folder that holds lapack_lite's sources; everything else is written to it.
        environment: Variables for the compiler.

    Raises:
        BuildError: The compiler or linker fails.
    """
    shutil.copytree(SHIM, scratch, dirs_exist_ok=True)
    (scratch / "exports.map").write_text(version_script(imports.symbols), "ascii")

    def call(arguments: Sequence[str]) -> None:
        argv = [str(zig.program), "cc", "-target", triple, *arguments]
        try:
            process.run(argv, cwd=scratch, env=environment, timeout=TIMEOUT)
        except process.CommandFailed as failed:
            raise BuildError(
                f"the lite BLAS does not build: {arguments[-1]}\n{failed.output[-2000:]}",
                cause="numpy's lapack_lite or the compiler differs from those tried before",
                hint="leave `lite-blas` out for this layer, and report the message above",
            ) from failed

    made = units(imports)
    # The longest first, so that none is left alone at the end.
    longest = sorted(made, key=lambda name: -(scratch / made[name][-1]).stat().st_size)
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        list(pool.map(lambda name: call([*made[name], "-c", "-o", f"{name}.o"]), longest))
    call(link_arguments(imports, [f"{name}.o" for name in sorted(made)]))
    return (scratch / "lib.so").read_bytes()
