"""What a numpy wheel imports from the OpenBLAS that it bundles, read from its ELF files.

Nothing about the library is assumed: its file name has a hash that differs from wheel to wheel,
and its symbols have carried different prefixes and suffixes over the years.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from packaging.utils import parse_wheel_filename

from layersmith.base import architectures
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_CBLAS = re.compile(r"(?P<prefix>\w*?)cblas_(?P<name>[a-z0-9]+(?:_sub)?)(?P<suffix>64_|)")
_FORTRAN = re.compile(r"(?P<prefix>(?:scipy_)?)(?P<name>[a-z0-9]+)_(?P<suffix>64_|)")
"""CBLAS symbols such as scipy_cblas_zdotc_sub64_, Fortran ones such as scipy_dgesv_64_."""


@dataclass(frozen=True)
class Elf:
    """The dynamic section of one ELF file."""

    machine: str
    soname: str
    needed: tuple[str, ...]
    undefined: frozenset[str]
    defined: frozenset[str]


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


def read(wheel: Path) -> Imports:
    """Read what ``wheel`` imports from the OpenBLAS inside it.

    Raises:
        BuildError: It is not numpy's wheel for Linux with one bundled OpenBLAS.
    """
    name, version, _, _ = parse_wheel_filename(wheel.name)
    if name != "numpy":
        raise BuildError(f"a lite BLAS fits numpy's wheel, not {wheel.name}")
    with zipfile.ZipFile(wheel) as archive:
        files = dict(_elf_files(archive))
    library = _library(files, wheel)
    provider = files[library]
    importers = {
        path: elf
        for path, elf in files.items()
        if provider.soname in elf.needed and path != library
    }
    symbols = sorted({s for elf in importers.values() for s in elf.undefined & provider.defined})
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
                f"numpy imports {symbol} from its OpenBLAS, which is no routine of BLAS or LAPACK",
                hint="leave `lite-blas` out for this version of numpy",
            )
        found.add((match["prefix"], match["suffix"]))
    if len(found) != 1:
        raise BuildError(
            f"numpy's BLAS symbols follow {len(found)} naming schemes where one is expected",
            hint="leave `lite-blas` out for this version of numpy",
        )
    return found.pop()


def parse(content: bytes) -> Elf:
    """Read the dynamic section of an ELF file.

    Raises:
        BuildError: It is damaged.
    """
    try:
        elf = ELFFile(io.BytesIO(content))
        dynamic, table = elf.get_section_by_name(".dynamic"), elf.get_section_by_name(".dynsym")
        tags: list[Any] = list(dynamic.iter_tags()) if isinstance(dynamic, DynamicSection) else []
        symbols = list(table.iter_symbols()) if isinstance(table, SymbolTableSection) else []
        return Elf(
            architectures.named(elf["e_machine"]),
            next((tag.soname for tag in tags if tag.entry.d_tag == "DT_SONAME"), ""),
            tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"),
            frozenset(s.name for s in symbols if s["st_shndx"] == "SHN_UNDEF" and s.name),
            frozenset(s.name for s in symbols if s["st_shndx"] != "SHN_UNDEF"),
        )
    except (ELFError, ValueError, KeyError) as problem:
        raise BuildError(f"an ELF file cannot be read: {problem}") from problem


def _elf_files(archive: zipfile.ZipFile) -> Iterator[tuple[str, Elf]]:
    for name in archive.namelist():
        if ".so" not in posixpath.basename(name):
            continue
        with archive.open(name) as member:
            if member.read(4) != b"\x7fELF":
                continue
        yield name, parse(archive.read(name))


def _library(files: dict[str, Elf], wheel: Path) -> str:
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
