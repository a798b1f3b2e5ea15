"""Judges the linked library before anybody may use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith.base import elf
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
    library = imports_.parse(content)
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
