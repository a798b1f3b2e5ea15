"""Reads policy.toml: what each runtime's operating system offers to native files."""

from __future__ import annotations

import functools
import sys
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from layersmith.base.elf import VERSION, parse_version

if TYPE_CHECKING:
    from layersmith.base.runtimes import Runtime

LIBRARY_PATH = ("lib",)
"""Folders of a layer on Lambda's LD_LIBRARY_PATH, relative to /opt (AWS: /opt/lib)."""

STDLIB_REMOVED = {
    12: frozenset({"asynchat", "asyncore", "distutils", "imp", "smtpd"}),
    13: frozenset(
        {
            *("aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr", "lib2to3"),
            *("mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "sndhdr"),
            *("spwd", "sunau", "telnetlib", "uu", "xdrlib"),
        }
    ),
}
"""Modules that a minor version of CPython dropped (What's New in 3.12; PEP 594 for 3.13)."""


@dataclass(frozen=True)
class Policy:
    """What native files may need on one runtime.

    Attributes:
        title: Name of the operating system.
        versions: Highest symbol version by prefix, ``{"GLIBC": (2, 34)}``.
        libraries: Sonames that the system promises.
        incidental: Sonames that are there and not promised.
        magic: The first four bytes of its .pyc files.
    """

    title: str
    versions: dict[str, tuple[int, ...]]
    libraries: frozenset[str]
    incidental: frozenset[str]
    magic: bytes


@functools.cache
def _data() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("policy.toml").read_text("utf-8")
    return tomllib.loads(text)


@functools.cache
def of(runtime: Runtime, architecture: str) -> Policy:
    """Return the policy of a runtime on an architecture.

    Raises:
        KeyError: policy.toml does not know the runtime's operating system: a gap in the data.
    """
    data = _data()[runtime.os]
    # The interpreter's own libraries lie in /var/lang/lib, which is on LD_LIBRARY_PATH.
    python = {f"libpython{runtime.python_version}.so.1.0", "libpython3.so"}
    magic = _data()["bytecode"][runtime.python_version]
    return Policy(
        title=data["title"],
        versions={
            prefix: parse_version(text if isinstance(text, str) else text[architecture])
            for prefix, text in data["versions"].items()
        },
        libraries=frozenset({*data["libraries"], *data["own"][architecture], *python}),
        incidental=frozenset(data["incidental"]),
        # A .pyc file begins with the number, little-endian, and CR LF (importlib.util).
        magic=int(magic).to_bytes(2, "little") + b"\r\n",
    )


def comparable(version: str) -> tuple[str, tuple[int, ...]] | None:
    """Return prefix and number of a symbol version, or None if it has no number.

    A version that stands for a release, such as GLIBC_ABI_DT_RELR, gives that release's.
    """
    found = VERSION.match(_data()["aliases"].get(version, version))
    return (found["prefix"], parse_version(found["numbers"])) if found else None


@functools.cache
def provided_modules() -> dict[str, str]:
    """Return top-level module -> distribution, for what every runtime brings."""
    table: dict[str, list[str]] = _data()["provided"]
    return {module: name for name, modules in table.items() for module in modules}


def managed(name: str) -> frozenset[str]:
    """Return the distributions of a managed layer, by the beginning of its name or ARN's name.

    Empty where the layer is not known.
    """
    wanted = name.rsplit(":layer:", 1)[-1].lower()
    table: dict[str, dict[str, list[str]]] = _data()["managed"]
    for known, layer in table.items():
        if wanted.startswith(known.lower()):
            return frozenset(layer["distributions"])
    return frozenset()


def stdlib(minor: int) -> frozenset[str]:
    """Return the top-level modules of CPython 3.``minor``, as far as this interpreter knows."""
    gone = {name for since, names in STDLIB_REMOVED.items() if minor >= since for name in names}
    return frozenset(sys.stdlib_module_names - gone)
