"""Makes the host's Python speak of the target: its _sysconfigdata and pyconfig.h.

Build backends ask ``sysconfig`` for the extension suffix, the compiler and its flags. CPython
itself is cross-compiled by naming another module of variables in _PYTHON_SYSCONFIGDATA_NAME and
another platform in _PYTHON_HOST_PLATFORM (CPython's configure.ac); the same is done here. Linux on
x86-64 and on aarch64 share sizes and byte order, so that the headers of one serve the other but
for the few lines that name_of_target_only_lines lists.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layersmith.base import architectures

if TYPE_CHECKING:
    from collections.abc import Mapping

MODULE = "_sysconfigdata__layersmith"
"""Name of the generated module."""

EMPTIED = (
    "BASECFLAGS",
    "CONFIGURE_CFLAGS",
    "CONFIGURE_CFLAGS_NODIST",
    "CONFIGURE_LDFLAGS",
    "CONFIGURE_LDFLAGS_NODIST",
    "CONFIG_ARGS",
    "CPPFLAGS",
    "LDFLAGS",
    "LIBDIR",
    "LIBPL",
    "PY_CPPFLAGS",
    "PY_LDFLAGS",
)
"""Variables whose flags and folders hold for the host alone."""

X86_ONLY = ("HAVE_GCC_ASM_FOR_X64", "HAVE_GCC_ASM_FOR_X87", "VA_LIST_IS_ARRAY")
"""Macros of pyconfig.h that hold on x86-64 and not on aarch64 (CPython's configure.ac)."""

Value = str | int
"""A variable is a word of the Makefile or a number of pyconfig.h."""


def variables(
    host: Mapping[str, Value], machine: str, tools: Mapping[str, str]
) -> dict[str, Value]:
    """Return the build-time variables of the target.

    Args:
        host: The host's, from its own _sysconfigdata module.
        machine: ``aarch64`` or ``x86_64``.
        tools: Names of programs: ``CC``, ``CXX``, ``AR``, ``RANLIB``.
    """
    old = str(host.get("MULTIARCH") or "")
    # Debian's multiarch tuple, which CPython puts into suffixes and folders.
    new = architectures.get(architectures.named(machine)).triplet
    flags = "-O2 -fPIC -DNDEBUG"
    made = {
        name: value.replace(old, new) if old and isinstance(value, str) else value
        for name, value in host.items()
    }
    made |= dict.fromkeys((name for name in EMPTIED if name in made), "")
    made |= tools
    made |= {
        "BLDSHARED": f"{tools['CC']} -shared",
        "CCSHARED": "-fPIC",
        "CFLAGS": flags,
        "EXT_SUFFIX": re.sub(r"(?<=-)[^-.]+-linux-gnu", new, str(host["EXT_SUFFIX"])),
        "LDCXXSHARED": f"{tools['CXX']} -shared",
        "LDSHARED": f"{tools['CC']} -shared",
        "MULTIARCH": new,
        "OPT": "-O2 -DNDEBUG",
        "PY_CFLAGS": flags,
        "Py_ENABLE_SHARED": 0,  # extension modules never link libpython on Linux
        "SOABI": re.sub(r"(?<=-)[^-.]+-linux-gnu$", new, str(host["SOABI"])),
    }
    return made


def module(values: Mapping[str, Value]) -> str:
    """Return the source of the module that sysconfig imports."""
    lines = [f"    {name!r}: {value!r},\n" for name, value in sorted(values.items())]
    return f"build_time_vars = {{\n{''.join(lines)}}}\n"


def pyconfig(header: str, machine: str) -> str:
    """Return pyconfig.h for ``machine``."""
    if machine == "x86_64":
        return header
    names = "|".join(X86_ONLY)
    return re.sub(rf"^#define ({names})\b.*$", r"/* #undef \1 */", header, flags=re.MULTILINE)
