"""Judges the linked library before anybody may use it."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from layersmith.errors import BuildError
from layersmith.liteblas import imports as imports_

if TYPE_CHECKING:
    from layersmith.base.runtimes import Runtime
    from layersmith.liteblas.imports import Imports

SYSTEM = frozenset({"libc.so.6", "libm.so.6"})
"""Libraries that the drop-in may need: those that every Python process has."""

STATE = frozenset({".data", ".bss", ".tdata", ".tbss"})
"""Sections of writable variables. Without them no two threads can share anything."""


def check(content: bytes, imports: Imports, runtime: Runtime) -> str:
    """Return the highest glibc version that the library needs, such as ``2.29``.

    Args:
        content: The library.
        imports: What it stands in for.
        runtime: The runtime that will load it.

    Raises:
        BuildError: A symbol is missing, or the runtime could not load or safely share it.
    """
    elf = imports_.parse(content)
    missing = sorted(set(imports.symbols) - elf.defined)
    if missing:
        raise BuildError(
            f"the lite BLAS has no {', '.join(missing)}, which numpy {imports.version} imports",
            hint="leave `lite-blas` out for this version of numpy",
        )
    if elf.soname != imports.soname or elf.machine != imports.architecture:
        raise BuildError(f"the lite BLAS is {elf.soname} for {elf.machine}, not what numpy loads")
    if not set(elf.needed) <= SYSTEM:
        raise BuildError(f"the lite BLAS needs {', '.join(sorted(set(elf.needed) - SYSTEM))}")
    if state := writable(content):
        raise BuildError(
            f"the lite BLAS has {state} bytes of writable variables, which threads would share",
            cause="lapack_lite of this numpy keeps state in a form that is not known here",
            hint="leave `lite-blas` out for this version of numpy",
        )
    highest = highest_glibc(content)
    if highest > runtime.glibc:
        raise BuildError(
            f"the lite BLAS needs GLIBC_{_dotted(highest)}, and {runtime.name} has"
            f" {_dotted(runtime.glibc)}"
        )
    return _dotted(highest)


def writable(content: bytes) -> int:
    """Return the bytes of writable variables in an ELF file."""
    elf = ELFFile(io.BytesIO(content))
    return sum(section["sh_size"] for section in elf.iter_sections() if section.name in STATE)


def highest_glibc(content: bytes) -> tuple[int, int]:
    """Return the highest GLIBC version in an ELF file's .gnu.version_r, or (0, 0)."""
    section = ELFFile(io.BytesIO(content)).get_section_by_name(".gnu.version_r")
    if not isinstance(section, GNUVerNeedSection):
        return (0, 0)
    names = [aux.name for _, auxiliaries in section.iter_versions() for aux in auxiliaries]
    found = [re.fullmatch(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?", name) for name in names]
    return max(((int(m[1]), int(m[2])) for m in found if m), default=(0, 0))


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
