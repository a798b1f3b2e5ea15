"""What a numpy wheel imports from the OpenBLAS that it bundles, and whether a drop-in offers it.

Both are read from ELF files. Nothing about the library is assumed: its file name has a hash that
differs from wheel to wheel, and its symbols have carried different prefixes and suffixes over the
years.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

from layersmith.base import architectures, damage, elf
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from layersmith.base.runtimes import Runtime

_CBLAS = re.compile(r"(?P<prefix>\w*?)cblas_(?P<name>[a-z0-9]+(?:_sub)?)(?P<suffix>64_|)")
_FORTRAN = re.compile(r"(?P<prefix>(?:scipy_)?)(?P<name>[a-z0-9]+)_(?P<suffix>64_|)")
"""CBLAS symbols such as scipy_cblas_zdotc_sub64_, Fortran ones such as scipy_dgesv_64_."""


@dataclass(frozen=True)
class Library:
    """One ELF file with its dynamic symbols."""

    facts: elf.ElfFacts
    symbols: elf.DynamicSymbols

    @property
    def machine(self) -> str:
        """Its architecture as AWS spells it, or its machine where that is none of Lambda's."""
        return architectures.named(self.facts.machine)

    @property
    def soname(self) -> str:
        """Name under which others load it; empty where it has none."""
        return self.facts.soname or ""


@dataclass(frozen=True)
class Imports:
    """What a numpy wheel needs from its OpenBLAS.

    Attributes:
        version: Version of numpy.
        library: Path of the OpenBLAS library in the wheel.
        soname: Name under which the extension modules load it.
        architecture: ``arm64`` or ``x86_64``.
        prefix: What stands before the names of routines, ``scipy_`` or nothing.
        suffix: What stands behind them, ``64_`` for 64-bit integers or nothing.
        symbols: Imported symbols, sorted.
        importers: Paths of the extension modules that import them, sorted.
    """

    version: str
    library: str
    soname: str
    architecture: str
    prefix: str
    suffix: str
    symbols: tuple[str, ...]
    importers: tuple[str, ...]

    @property
    def integer(self) -> str:
        """C type of a BLAS integer."""
        return "int64_t" if self.suffix else "int32_t"

    @property
    def routines(self) -> set[str]:
        """Names as Fortran and f2c have them, ``dgesv_``; those of CBLAS have no underscore."""
        inner = (one.removeprefix(self.prefix) for one in self.symbols)
        return {one.removesuffix(self.suffix) for one in inner}


def read(wheel: Path) -> Imports:
    """Read what ``wheel`` imports from the OpenBLAS inside it.

    Raises:
        BuildError: It is not numpy's wheel for Linux with one bundled OpenBLAS.
    """
    name, version, _, _ = parse_wheel_filename(wheel.name)
    if name != "numpy":
        raise BuildError(f"a lite BLAS fits numpy's wheel, not {wheel.name}")
    with damage.told(wheel.name), zipfile.ZipFile(wheel) as archive:
        files = dict(_elf_files(archive))
    library = _library(files, wheel)
    provider = files[library]
    importers = {
        path: one
        for path, one in files.items()
        if provider.soname in one.facts.needed and path != library
    }
    offered = provider.symbols.defined
    symbols = sorted({s for one in importers.values() for s in one.symbols.undefined & offered})
    prefix, suffix = naming(symbols)
    return Imports(
        str(version),
        library,
        provider.soname,
        provider.machine,
        prefix,
        suffix,
        tuple(symbols),
        tuple(sorted(importers)),
    )


def naming(symbols: Iterable[str]) -> tuple[str, str]:
    """Return the one prefix and suffix that all BLAS symbols carry.

    Raises:
        BuildError: They differ, or a symbol is none of BLAS, CBLAS or LAPACK.
    """
    found = set()
    for symbol in symbols:
        match = _CBLAS.fullmatch(symbol) or _FORTRAN.fullmatch(symbol)
        if match is None:
            raise BuildError(
                f"numpy imports {symbol} from its OpenBLAS, which is not a BLAS or LAPACK routine",
                hint="leave `lite-blas` out for this version of numpy",
            )
        found.add((match["prefix"], match["suffix"]))
    if len(found) != 1:
        raise BuildError(
            f"numpy's BLAS symbols follow {len(found)} naming schemes where one is expected",
            hint="leave `lite-blas` out for this version of numpy",
        )
    return found.pop()


def parse(content: bytes) -> Library:
    """Read what an ELF file needs and offers.

    Raises:
        BuildError: It is damaged.
    """
    try:
        return Library(elf.read(content), elf.symbols(content))
    except elf.DamagedElf as problem:
        raise BuildError(f"an ELF file cannot be read: {problem}") from problem


def _elf_files(archive: zipfile.ZipFile) -> Iterator[tuple[str, Library]]:
    for name in archive.namelist():
        if ".so" not in posixpath.basename(name):
            continue
        with archive.open(name) as member:
            if not elf.is_elf(member.read(4)):
                continue
        yield name, parse(archive.read(name))


def _library(files: dict[str, Library], wheel: Path) -> str:
    found = [
        path for path in files if path.startswith("numpy.libs/") and "openblas" in path.lower()
    ]
    if len(found) != 1:
        raise BuildError(
            f"{wheel.name} bundles {len(found)} OpenBLAS libraries where one is expected",
            cause="it was built without BLAS, or against the libraries of a system",
            hint="leave `lite-blas` out for this layer: there is nothing to replace",
        )
    return found[0]


SYSTEM = frozenset({"libc.so.6", "libm.so.6"})
"""Libraries that the drop-in may need: those that every Python process has."""

STATE = frozenset({".data", ".bss", ".tdata", ".tbss"})
"""Sections of writable variables. Without them no two threads can share anything."""


def check_drop_in(content: bytes, imports: Imports, runtime: Runtime) -> str:
    """Return the highest glibc version that the library needs, such as ``2.29``.

    Args:
        content: The library.
        imports: What it stands in for.
        runtime: The runtime that will load it.

    Raises:
        BuildError: A symbol is missing, or the runtime could not load or safely share it.
    """
    library = parse(content)
    missing = sorted(set(imports.symbols) - library.symbols.defined)
    if missing:
        raise BuildError(
            f"the lite BLAS has no {', '.join(missing)}, which numpy {imports.version} imports",
            hint="leave `lite-blas` out for this version of numpy",
        )
    if library.soname != imports.soname or library.machine != imports.architecture:
        raise BuildError(
            f"the lite BLAS is {library.soname} for {library.machine}, not what numpy loads"
        )
    if not set(library.facts.needed) <= SYSTEM:
        raise BuildError(
            f"the lite BLAS needs {', '.join(sorted(set(library.facts.needed) - SYSTEM))}"
        )
    if state := writable(content):
        raise BuildError(
            f"the lite BLAS has {state} bytes of writable variables, which threads would share",
            cause="lapack_lite of this numpy keeps state in a form that is not known here",
            hint="leave `lite-blas` out for this version of numpy",
        )
    highest = elf.highest_glibc(library.facts)
    if highest > runtime.glibc:
        raise BuildError(
            f"the lite BLAS needs GLIBC_{_dotted(highest)}, and {runtime.name} has"
            f" {_dotted(runtime.glibc)}"
        )
    return _dotted(highest)


def writable(content: bytes) -> int:
    """Return the bytes of writable variables in an ELF file."""
    return sum(size for name, size in elf.section_sizes(content).items() if name in STATE)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
