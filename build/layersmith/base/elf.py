"""What an ELF file says about itself: machine, libraries, versions, search paths, stack.

pyelftools parses; this module keeps only what a dynamic loader and the audit ask for.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from layersmith.base import architectures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elftools.elf.elffile import ELFFile

MAGIC = b"\x7fELF"

MACHINES = {
    **{machine.elf_name: machine.wheel for machine in architectures.MACHINES.values()},
    "EM_386": "i386",
    "EM_ARM": "armv7",
    "EM_PPC64": "ppc64le",
    "EM_RISCV": "riscv64",
    "EM_S390": "s390x",
}
"""Names of machines as wheel tags spell them (PEP 600), by pyelftools' name of e_machine."""

HEAD = 20
"""Bytes of a file up to the end of e_machine (System V gABI, "ELF Header")."""

PF_X = 1
"""Segment may be executed (System V gABI, p_flags)."""

VERSION = re.compile(r"^(?P<prefix>[A-Za-z]+)_(?P<numbers>\d+(?:\.\d+)*)$")
"""A symbol version with a number to compare, such as GLIBC_2.17; GLIBC_PRIVATE has none."""


class DamagedElf(Exception):
    """The file begins like an ELF file and is cut short or contradicts itself."""


@dataclass(frozen=True)
class ElfFacts:
    """One ELF file.

    Attributes:
        bits: 32 or 64.
        little_endian: Byte order.
        machine: As wheel tags spell it, ``aarch64``.
        kind: ET_DYN, ET_EXEC, ET_REL.
        soname: DT_SONAME, the name under which others need it.
        needed: DT_NEEDED, in order.
        rpath: Folders of DT_RPATH, searched for this file and for what it loads.
        runpath: Folders of DT_RUNPATH, searched for this file alone.
        versions: Library -> versions of its symbols that are needed (.gnu.version_r).
        defines: Versions that the file itself defines (.gnu.version_d).
        executable_stack: PT_GNU_STACK asks for it; None where the segment is missing.
        interpreter: Program interpreter; None for a shared library.
        initializer: Whether the function that Python calls on import is there; None where it was
            not looked for.
    """

    bits: int
    little_endian: bool
    machine: str
    kind: str
    soname: str | None = None
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    versions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    defines: frozenset[str] = frozenset()
    executable_stack: bool | None = None
    interpreter: str | None = None
    initializer: bool | None = None


@dataclass(frozen=True)
class DynamicSymbols:
    """The names in .dynsym: what a file wants from others, and what it offers them."""

    undefined: frozenset[str]
    defined: frozenset[str]


def parse_version(text: str) -> tuple[int, ...]:
    """Return ``2.17`` as (2, 17)."""
    return tuple(int(number) for number in text.split("."))


def is_elf(head: bytes) -> bool:
    """Whether a file that begins with ``head`` claims to be an ELF file."""
    return head[:4] == MAGIC


def machine(head: bytes) -> str | None:
    """Return the architecture that an ELF header names, as AWS spells it; None for other files.

    Args:
        head: The first ``HEAD`` bytes of a file, or more.
    """
    if len(head) < HEAD or not is_elf(head):
        return None
    return architectures.of_elf(int.from_bytes(head[18:HEAD], "little"))


def read(content: bytes, *, module: str | None = None) -> ElfFacts:
    """Return the facts of an ELF file.

    Args:
        content: The whole file.
        module: Name of the Python module that the file should be, to look for its initializer
            (``PyInit_<module>``, CPython "Defining extension modules").

    Raises:
        DamagedElf: The file is cut short, or its tables contradict each other.
    """
    with _parsed(content) as elf:
        return _facts(elf, module)


def symbols(content: bytes) -> DynamicSymbols:
    """Return the dynamic symbols of an ELF file.

    Raises:
        DamagedElf: The file is cut short, or its tables contradict each other.
    """
    with _parsed(content) as elf:
        table: Any = elf.get_section_by_name(".dynsym")
        if table is None:
            return DynamicSymbols(frozenset(), frozenset())
        names = elf.get_section(table["sh_link"]).data()
        undefined: set[str] = set()
        defined: set[str] = set()
        for at, section in _symbol_entries(elf, table.data()):
            name = names[at : names.index(b"\0", at)].decode()
            (defined if section else undefined).add(name)
        return DynamicSymbols(frozenset(undefined - {""}), frozenset(defined))


def _symbol_entries(elf: ELFFile, table: bytes) -> Iterator[tuple[int, int]]:
    """Yield the name's offset and the section of each symbol (gABI, "Symbol Table").

    pyelftools makes an object of every symbol: a second for the 12,000 of an OpenBLAS.
    """
    order = "<" if elf.little_endian else ">"
    layout = f"{order}I2xH16x" if elf.elfclass == 64 else f"{order}I10xH"
    return struct.iter_unpack(layout, table)


def section_sizes(content: bytes) -> dict[str, int]:
    """Return the bytes of each section of an ELF file, by its name.

    Raises:
        DamagedElf: The file is cut short, or its tables contradict each other.
    """
    with _parsed(content) as elf:
        return {section.name: int(section["sh_size"]) for section in elf.iter_sections()}


def highest_glibc(facts: ElfFacts) -> tuple[int, int]:
    """Return the highest version of glibc that a file needs, or (0, 0)."""
    names = [name for versions in facts.versions.values() for name in versions]
    found = [
        parse_version(match["numbers"])
        for match in map(VERSION.match, names)
        if match and match["prefix"] == "GLIBC"
    ]
    return max(((numbers[0], numbers[1]) for numbers in found if len(numbers) > 1), default=(0, 0))


@contextlib.contextmanager
def _parsed(content: bytes) -> Iterator[ELFFile]:
    """Hand out pyelftools' view of a file, and give what it raises over damage one name."""
    # Facts of wheels are kept in the cache: most builds read no ELF file.
    from elftools.common.exceptions import DWARFError, ELFError  # noqa: PLC0415 -- start-up time
    from elftools.construct import ConstructError  # noqa: PLC0415
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415

    try:
        yield ELFFile(io.BytesIO(content))
    except (
        ELFError,
        DWARFError,
        ConstructError,
        struct.error,
        UnicodeDecodeError,
        # pyelftools answers some damage with whatever its data structures raise.
        AssertionError,
        AttributeError,
        IndexError,
        KeyError,
        OverflowError,
        TypeError,
        ValueError,
    ) as problem:
        raise DamagedElf(str(problem) or type(problem).__name__) from problem


def _facts(elf: ELFFile, module: str | None) -> ElfFacts:
    dynamic: list[Any] = []
    stack: bool | None = None
    interpreter: str | None = None
    segment: Any
    for segment in elf.iter_segments():
        kind = segment["p_type"]
        if kind == "PT_DYNAMIC":
            dynamic = list(segment.iter_tags())
        elif kind == "PT_GNU_STACK":
            stack = bool(segment["p_flags"] & PF_X)
        elif kind == "PT_INTERP":
            interpreter = segment.get_interp_name()
        _require_whole(elf, segment)
    machine = str(elf["e_machine"])
    return ElfFacts(
        bits=elf.elfclass,
        little_endian=elf.little_endian,
        machine=MACHINES.get(machine, machine.removeprefix("EM_").lower()),
        kind=str(elf["e_type"]),
        soname=next((tag.soname for tag in dynamic if tag.entry.d_tag == "DT_SONAME"), None),
        needed=tuple(tag.needed for tag in dynamic if tag.entry.d_tag == "DT_NEEDED"),
        rpath=_folders(tag.rpath for tag in dynamic if tag.entry.d_tag == "DT_RPATH"),
        runpath=_folders(tag.runpath for tag in dynamic if tag.entry.d_tag == "DT_RUNPATH"),
        versions=_needed_versions(elf),
        defines=_defined_versions(elf),
        executable_stack=stack,
        interpreter=interpreter,
        initializer=None if module is None else _exports(elf, f"PyInit_{module}"),
    )


def _require_whole(elf: ELFFile, segment: Any) -> None:
    if segment["p_type"] == "PT_LOAD":
        end = segment["p_offset"] + segment["p_filesz"]
        if end > elf.stream_len:
            raise DamagedElf(f"a segment ends at byte {end} of {elf.stream_len}")


def _folders(values: Iterator[str]) -> tuple[str, ...]:
    return tuple(folder for value in values for folder in value.split(":") if folder)


def _needed_versions(elf: ELFFile) -> dict[str, tuple[str, ...]]:
    section = _versions(elf, ".gnu.version_r", 16)
    if section is None:
        return {}
    return {
        library.name: tuple(sorted(version.name for version in versions))
        for library, versions in section.iter_versions()
    }


def _defined_versions(elf: ELFFile) -> frozenset[str]:
    section = _versions(elf, ".gnu.version_d", 20)
    if section is None:
        return frozenset()
    # The first name of an entry is its own; the rest are the versions it inherits from.
    return frozenset(next(names).name for _, names in section.iter_versions())


def _versions(elf: ELFFile, name: str, smallest: int) -> Any:
    """Return a section of versions, or None, after its count was found possible.

    Args:
        elf: The file.
        name: Of the section.
        smallest: Bytes of its smallest entry (Elf64_Verneed 16, Elf64_Verdef 20).

    Raises:
        DamagedElf: It claims more entries than it has room for, which would be read for hours.
    """
    section: Any = elf.get_section_by_name(name)
    if section is not None and section["sh_info"] * smallest > section["sh_size"]:
        raise DamagedElf(f"{name} claims {section['sh_info']} entries")
    return section


def _exports(elf: ELFFile, symbol: str) -> bool | None:
    """Whether a symbol is defined; None where the file has no table to ask."""
    table: Any = elf.get_section_by_name(".gnu.hash")
    if table is not None:
        found = table.get_symbol(symbol)
        return found is not None and found["st_shndx"] != "SHN_UNDEF"
    # Not .hash: a chain of it that was damaged may have no end.
    symbols: Any = elf.get_section_by_name(".dynsym")
    if symbols is None:
        return None
    named = symbols.get_symbol_by_name(symbol) or []
    return any(one["st_shndx"] != "SHN_UNDEF" for one in named)
