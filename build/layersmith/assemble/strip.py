"""Removes symbol tables and debug sections from ELF files, the same way on every machine.

The result depends on nothing but the input: no binutils, whose output differs between versions
and of which some broke files that patchelf had rewritten (numpy's OpenBLAS, most of ``*.libs``).
What is in a loaded segment keeps its bytes and its address; only where the segment lies in the
file may change, by multiples of its alignment, which is all that a loader asks for (System V
gABI, chapter "Program Loading"). Sections keep their numbers, because symbols refer to sections
by number: a dropped section in the middle becomes an empty header.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from layersmith.base.elf import is_elf

ELF64_LITTLE = b"\x02\x01\x01"
"""EI_CLASS 64 bit, EI_DATA little-endian, EI_VERSION 1 (gABI): all that Lambda runs."""

ET_EXEC, ET_DYN = 2, 3
PT_LOAD = 1
SHT_NULL, SHT_STRTAB, SHT_NOBITS = 0, 3, 8
SHF_ALLOC = 2
SHN_LORESERVE = 0xFF00
PN_XNUM = 0xFFFF
"""From these numbers on, the counts stand elsewhere; no shared library of a wheel gets there."""

PAGE = 4096
"""Bytes: the smallest page of arm64 and x86_64; a segment never moves by less."""

MINIMUM_GAIN = PAGE
"""Bytes: a file that would shrink by less keeps the compressed bytes that its wheel holds."""

_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_PHDR = struct.Struct("<IIQQQQQQ")
_SHDR = struct.Struct("<IIQQQQIIQQ")


class Header(NamedTuple):
    """Elf64_Ehdr."""

    ident: bytes
    type: int
    machine: int
    version: int
    entry: int
    phoff: int
    shoff: int
    flags: int
    ehsize: int
    phentsize: int
    phnum: int
    shentsize: int
    shnum: int
    shstrndx: int


class Segment(NamedTuple):
    """Elf64_Phdr."""

    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    align: int


class Section(NamedTuple):
    """Elf64_Shdr."""

    name: int
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    addralign: int
    entsize: int


NO_SECTION = Section(0, SHT_NULL, 0, 0, 0, 0, 0, 0, 0, 0)


class Unstrippable(Exception):
    """The file is laid out in a way that stripping could break."""


@dataclass(frozen=True)
class Region:
    """A range of the file that has to stay, and how far towards the front it moves.

    Attributes:
        start: First byte in the input.
        end: First byte after it in the input.
        shift: Bytes by which it moves towards the front.
    """

    start: int
    end: int
    shift: int = 0

    def holds(self, offset: int, size: int) -> bool:
        """Whether a range of the input lies in this one."""
        return self.start <= offset and offset + size <= self.end


@dataclass(frozen=True)
class _Elf:
    content: bytes
    header: Header
    segments: list[Segment]
    sections: list[Section]


def strip(content: bytes) -> bytes:
    """Return ``content`` without what no loader reads, or ``content`` itself.

    Dropped are all sections that are not loaded: .symtab, .strtab, .debug_*, .comment and the
    like. The same object comes back where less than MINIMUM_GAIN can be gained and where the result
    might not load: not an ELF file, 32 bit, big-endian, an object file, a damaged file, data behind
    the end of the ELF file (self-extracting programs), segments that overlap.

    Args:
        content: The bytes of any file.
    """
    if not is_elf(content) or content[4:7] != ELF64_LITTLE:
        return content
    try:
        elf = _parse(content)
        regions = _regions(elf)
        _require(len(content) - regions[-1].end + regions[-1].shift > MINIMUM_GAIN, "no gain")
        stripped = _rebuild(elf, regions)
    except (Unstrippable, struct.error):
        return content
    return stripped if len(stripped) <= len(content) - MINIMUM_GAIN else content


def _parse(content: bytes) -> _Elf:
    header = Header(*_EHDR.unpack_from(content))
    _require(header.type in {ET_EXEC, ET_DYN}, "not a program or shared library")
    _require(header.phentsize == _PHDR.size and header.shentsize == _SHDR.size, "entry sizes")
    _require(0 < header.phnum < PN_XNUM, "no segments")
    _require(0 < header.shstrndx < header.shnum < SHN_LORESERVE, "no sections, or too many")
    _require(header.phoff + header.phnum * _PHDR.size <= len(content), "cut short")
    _require(header.shoff + header.shnum * _SHDR.size <= len(content), "cut short")
    segments = [
        Segment(*_PHDR.unpack_from(content, header.phoff + i * _PHDR.size))
        for i in range(header.phnum)
    ]
    sections = [
        Section(*_SHDR.unpack_from(content, header.shoff + i * _SHDR.size))
        for i in range(header.shnum)
    ]
    elf = _Elf(content, header, segments, sections)
    _check_extent(elf)
    return elf


def _check_extent(elf: _Elf) -> None:
    """Refuse a file that is cut short, and one that has something behind its last structure."""
    ends = [segment.offset + segment.filesz for segment in elf.segments]
    ends += [s.offset + s.size for s in elf.sections if s.type not in {SHT_NULL, SHT_NOBITS}]
    ends.append(elf.header.shoff + elf.header.shnum * _SHDR.size)
    last = max(ends)
    _require(last <= len(elf.content), "cut short")
    # Padding up to a page is what patchelf leaves; anything else is somebody's data.
    _require(not elf.content[last:].strip(b"\0"), "data behind the end")


def _regions(elf: _Elf) -> list[Region]:
    """Return the ranges that have to stay, in file order, moved as near as alignment allows."""
    header = elf.header
    regions = [Region(0, _EHDR.size)]
    table = (header.phoff, header.phnum * _PHDR.size)
    loads = sorted(
        (s for s in elf.segments if s.type == PT_LOAD and s.filesz), key=lambda s: s.offset
    )
    _require(bool(loads), "nothing is loaded")
    if not any(Region(s.offset, s.offset + s.filesz).holds(*table) for s in loads):
        _require(header.phoff == _EHDR.size, "program headers are somewhere else")
        regions[0] = Region(0, sum(table))
    for segment in loads:
        regions.append(_follow(regions[-1], segment))
    # A kernel finds the program headers of a program by their offset in the file.
    fixed = any(r.shift == 0 and r.holds(*table) for r in regions)
    _require(fixed, "program headers would move")
    return regions


def _follow(before: Region, segment: Segment) -> Region:
    start, end = segment.offset, segment.offset + segment.filesz
    if start == 0 and before.start == 0:
        # The first segment of nearly every file begins with the file's header.
        return Region(0, max(end, before.end))
    gap = start - before.end
    _require(gap >= 0, "segments overlap in the file")
    step = max(segment.align, PAGE)
    _require(step & (step - 1) == 0, "alignment is not a power of two")
    shift = (before.shift + gap) // step * step
    return Region(start, end, shift)


def _rebuild(elf: _Elf, regions: list[Region]) -> bytes:
    result = bytearray()
    for region in regions:
        start = region.start - region.shift
        result.extend(bytes(max(0, start - len(result))))
        result[start:] = elf.content[region.start : region.end]
    sections, names = _keep_sections(elf, regions, len(result))
    result += names
    result.extend(bytes(-len(result) % 8))
    header = elf.header._replace(shoff=len(result), shnum=len(sections))
    _EHDR.pack_into(result, 0, *header)
    for i, segment in enumerate(elf.segments):
        offset = _moved(segment.offset, segment.filesz, regions)
        moved = segment._replace(offset=offset)
        _PHDR.pack_into(result, header.phoff + i * _PHDR.size, *moved)
    for section in sections:
        result += _SHDR.pack(*section)
    return bytes(result)


def _keep_sections(
    elf: _Elf, regions: list[Region], names_offset: int
) -> tuple[list[Section], bytes]:
    """Return the section headers with their numbers kept, and the table of their names."""
    names_index = elf.header.shstrndx
    names = bytearray(b"\0")
    kept = []
    for index, section in enumerate(elf.sections):
        if index != names_index and not section.flags & SHF_ALLOC:
            kept.append(NO_SECTION)
            continue
        name = len(names)
        names += _name(elf, section) + b"\0"
        if index == names_index:
            kept.append(section._replace(name=name, offset=names_offset))
        else:
            size = 0 if section.type == SHT_NOBITS else section.size
            kept.append(section._replace(name=name, offset=_moved(section.offset, size, regions)))
    kept[names_index] = kept[names_index]._replace(size=len(names))
    while kept[-1] == NO_SECTION:
        kept.pop()
    return [_without_lost_links(section, kept) for section in kept], bytes(names)


def _without_lost_links(section: Section, kept: list[Section]) -> Section:
    lost = section.link >= len(kept) or kept[section.link] == NO_SECTION
    return section._replace(link=0) if lost else section


def _name(elf: _Elf, section: Section) -> bytes:
    table = elf.sections[elf.header.shstrndx]
    _require(table.type == SHT_STRTAB and section.name < table.size, "section names")
    start = table.offset + section.name
    end = elf.content.find(b"\0", start, table.offset + table.size)
    _require(end >= 0, "section names")
    return elf.content[start:end]


def _moved(offset: int, size: int, regions: list[Region]) -> int:
    """Return where a range of the input lies in the output."""
    for region in regions:
        if region.holds(offset, size):
            return offset - region.shift
    # An empty range (.bss, PT_GNU_STACK, PT_TLS without data) names a place that holds nothing.
    _require(size == 0, "something that is needed lies outside the loaded segments")
    return max((r.end - r.shift for r in regions if r.end <= offset), default=0)


def _require(condition: bool, why: str) -> None:
    if not condition:
        raise Unstrippable(why)
