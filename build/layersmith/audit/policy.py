"""What native files and bytecode may need on one runtime; the data are in base/runtimes.toml."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layersmith.base import runtimes
from layersmith.base.elf import VERSION, parse_version

if TYPE_CHECKING:
    from layersmith.base.runtimes import IncidentalLibrary, Runtime

LIBRARY_PATH = ("lib",)
"""Folders of a layer on Lambda's LD_LIBRARY_PATH, relative to /opt (AWS: /opt/lib)."""


@dataclass(frozen=True)
class Policy:
    """What native files may need on one runtime.

    Attributes:
        title: Name of the operating system.
        versions: Highest symbol version by prefix, ``{"GLIBC": (2, 34)}``.
        libraries: Sonames that the system promises.
        incidental: What is in the base image and nobody promises, by soname.
    """

    title: str
    versions: dict[str, tuple[int, ...]]
    libraries: frozenset[str]
    incidental: dict[str, IncidentalLibrary]


@functools.cache
def of(runtime: Runtime, architecture: str) -> Policy:
    """Return the policy of a runtime on an architecture."""
    system = runtime.system
    vouched = {name for name, one in system.incidental.items() if one.promised}
    # The interpreter's own libraries lie in /var/lang/lib, which is on LD_LIBRARY_PATH.
    python = {f"libpython{runtime.python_version}.so.1.0", "libpython3.so"}
    return Policy(
        title=system.title,
        versions={
            prefix: parse_version(text if isinstance(text, str) else text[architecture])
            for prefix, text in system.versions.items()
        },
        libraries=system.libraries | system.own[architecture] | python | vouched,
        incidental={n: one for n, one in system.incidental.items() if n not in vouched},
    )


def magic(runtime: Runtime) -> bytes:
    """Return the first four bytes of a runtime's .pyc files.

    Raises:
        ConfigError: They are not known.
    """
    # The number, little-endian, and CR LF (importlib.util).
    return runtime.bytecode_magic.to_bytes(2, "little") + b"\r\n"


def comparable(version: str) -> tuple[str, tuple[int, ...]] | None:
    """Return prefix and number of a symbol version, or None if it has no number.

    A version that stands for a release, such as GLIBC_ABI_DT_RELR, gives that release's.
    """
    found = VERSION.match(runtimes.SYMBOL_ALIASES.get(version, version))
    return (found["prefix"], parse_version(found["numbers"])) if found else None
