"""Makes small ELF files by hand: everything that the audit and the stripper look at, nothing more.

The layout follows what linkers and patchelf make: one loaded segment with the dynamic tables, then
sections that are not loaded, then, on request, a second loaded segment behind them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.breakages import elf_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

EM_AARCH64, EM_X86_64, EM_386 = 183, 62, 3
ET_REL, ET_DYN = 1, 3
PT_LOAD, PT_DYNAMIC, PT_NOTE, PT_GNU_STACK = 1, 2, 4, 0x6474E551
DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH, DT_STRTAB, DT_STRSZ = 1, 14, 15, 29, 5, 10
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_HASH, SHT_DYNAMIC, SHT_DYNSYM = 1, 2, 3, 5, 6, 11
SHT_VERDEF, SHT_VERNEED = 0x6FFFFFFD, 0x6FFFFFFE
ALLOC = 2
PAGE = 0x1000


@dataclass
class TinyElf:
    """What the file says.

    Attributes:
        machine: e_machine.
        bits: 32 or 64; only the header of a 32-bit file is right.
        little_endian: Byte order; only the header of a big-endian file is right.
        kind: e_type.
        needed: DT_NEEDED.
        soname: DT_SONAME.
        rpath: DT_RPATH.
        runpath: DT_RUNPATH.
        versions: Library to the versions needed from it.
        defines: Versions that it defines.
        stack: p_flags of PT_GNU_STACK; None leaves the segment out.
        exports: Functions that it defines.
        debug: Bytes of a section that is not loaded.
        tail: Bytes of a second loaded segment behind it, as patchelf adds one; none if empty.
        align: p_align of the loaded segments.
        appended: Bytes behind the end of the file.
    """

    machine: int = EM_AARCH64
    bits: int = 64
    little_endian: bool = True
    kind: int = ET_DYN
    needed: tuple[str, ...] = ()
    soname: str | None = None
    rpath: str | None = None
    runpath: str | None = None
    versions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    defines: tuple[str, ...] = ()
    stack: int | None = 6
    exports: tuple[str, ...] = ()
    debug: bytes = b"debug " * 2000
    tail: bytes = b""
    align: int = PAGE
    appended: bytes = b""

    def build(self) -> bytes:
        """Return the file."""
        return _Writer(self).build()


class _Strings:
    def __init__(self) -> None:
        self.data = bytearray(b"\0")

    def add(self, text: str) -> int:
        place = len(self.data)
        self.data += text.encode() + b"\0"
        return place


@dataclass
class _Section:
    name: str
    kind: int
    flags: int
    data: bytes
    link: str = ""
    info: int = 0
    entsize: int = 0
    offset: int = 0
    address: int = 0


class _Writer:
    def __init__(self, spec: TinyElf) -> None:
        self.spec = spec
        self.strings = _Strings()

    def build(self) -> bytes:
        loaded, rest = self._loaded(), self._not_loaded()
        count = 2 + (self.spec.stack is not None) + bool(self.spec.tail)
        position = 64 + 56 * count
        for section in loaded:
            section.offset = section.address = position = -(-position // 8) * 8
            position += len(section.data)
        end_of_load = position
        for section in rest:
            section.offset = position
            position += len(section.data)
        segments = [(PT_LOAD, 5, 0, 0, end_of_load, self.spec.align)]
        if self.spec.tail:
            tail = _Section(".tail", SHT_PROGBITS, ALLOC, self.spec.tail)
            step = self.spec.align
            tail.offset = position = -(-position // step) * step
            tail.address = tail.offset + 16 * step
            position += len(tail.data)
            rest.append(tail)
            segments.append((PT_LOAD, 6, tail.offset, tail.address, len(tail.data), step))
        dynamic = next(s for s in loaded if s.name == ".dynamic")
        segments.append((PT_DYNAMIC, 6, dynamic.offset, dynamic.address, len(dynamic.data), 8))
        if self.spec.stack is not None:
            segments.append((PT_GNU_STACK, self.spec.stack, 0, 0, 0, 16))
        return self._join(segments, loaded + rest, position)

    def _join(
        self, segments: Sequence[tuple[int, ...]], sections: list[_Section], position: int
    ) -> bytes:
        names = _Strings()
        offsets = [names.add(section.name) for section in sections]
        own = names.add(".shstrtab")
        table = position + len(names.data)
        table += -table % 8
        result = bytearray(table)
        result[:64] = self._header(len(segments), table, len(sections) + 2)
        for index, (kind, flags, offset, address, size, align) in enumerate(segments):
            struct.pack_into(
                "<IIQQQQQQ", result, 64 + 56 * index,
                *(kind, flags, offset, address, address, size, size, align),
            )  # fmt: skip
        for section in sections:
            result[section.offset : section.offset + len(section.data)] = section.data
        result[position : position + len(names.data)] = names.data
        numbers = {section.name: index + 1 for index, section in enumerate(sections)}
        result += bytes(64)
        for section, name in zip(sections, offsets, strict=True):
            result += struct.pack(
                "<IIQQQQIIQQ",
                *(name, section.kind, section.flags, section.address, section.offset),
                *(len(section.data), numbers.get(section.link, 0), section.info, 8),
                section.entsize,
            )
        result += struct.pack(
            "<IIQQQQIIQQ", own, SHT_STRTAB, 0, 0, position, len(names.data), 0, 0, 1, 0
        )
        return bytes(result) + self.spec.appended

    def _header(self, segments: int, table: int, sections: int) -> bytes:
        spec = self.spec
        ident = b"\x7fELF" + bytes([spec.bits // 32, 1 if spec.little_endian else 2, 1]) + bytes(9)
        return struct.pack(
            ("<" if spec.little_endian else ">") + "16sHHIQQQIHHHHHH",
            *(ident, spec.kind, spec.machine, 1, 0, 64, table, 0, 64, 56, segments, 64),
            *(sections, sections - 1),
        )

    def _loaded(self) -> list[_Section]:
        symbols = b"".join(self._symbols())
        tags = self._tags()
        need, define = self._verneed(), self._verdef()
        sections = [
            _Section(".dynsym", SHT_DYNSYM, ALLOC, symbols, ".dynstr", 1, 24),
            _Section(".hash", SHT_HASH, ALLOC, self._hash(), ".dynsym", 0, 4),
        ]
        if need:
            count = len(self.spec.versions)
            sections.append(_Section(".gnu.version_r", SHT_VERNEED, ALLOC, need, ".dynstr", count))
        if define:
            count = len(self.spec.defines)
            sections.append(_Section(".gnu.version_d", SHT_VERDEF, ALLOC, define, ".dynstr", count))
        strings = _Section(".dynstr", SHT_STRTAB, ALLOC, bytes(self.strings.data))
        dynamic = _Section(".dynamic", SHT_DYNAMIC, ALLOC, bytes(16 * len(tags)), ".dynstr", 0, 16)
        sections = [strings, *sections, dynamic]
        # DT_STRTAB names an address, which equals the offset in the first segment.
        position = 64 + 56 * (2 + (self.spec.stack is not None) + bool(self.spec.tail))
        tags[-3] = (DT_STRTAB, -(-position // 8) * 8)
        dynamic.data = b"".join(struct.pack("<QQ", *tag) for tag in tags)
        return sections

    def _tags(self) -> list[tuple[int, int]]:
        spec = self.spec
        tags = [(DT_NEEDED, self.strings.add(name)) for name in spec.needed]
        for tag, text in ((DT_SONAME, spec.soname), (DT_RPATH, spec.rpath)):
            if text is not None:
                tags.append((tag, self.strings.add(text)))
        if spec.runpath is not None:
            tags.append((DT_RUNPATH, self.strings.add(spec.runpath)))
        return [*tags, (DT_STRTAB, 0), (DT_STRSZ, 0xFFFF), (0, 0)]

    def _symbols(self) -> list[bytes]:
        # Every function is "in section 1": only SHN_UNDEF, 0, means that it is elsewhere.
        return [bytes(24)] + [
            struct.pack("<IBBHQQ", self.strings.add(name), 0x12, 0, 1, 0x40, 8)
            for name in self.spec.exports
        ]

    def _hash(self) -> bytes:
        """One bucket whose chain holds every symbol (gABI, Hash Table)."""
        count = len(self.spec.exports)
        chain = [0, *(index + 2 if index + 1 < count else 0 for index in range(count))]
        return struct.pack(f"<III{count + 1}I", 1, count + 1, 1 if count else 0, *chain)

    def _verneed(self) -> bytes:
        result = b""
        libraries = list(self.spec.versions.items())
        for place, (library, names) in enumerate(libraries):
            size = 16 + 16 * len(names)
            following = size if place + 1 < len(libraries) else 0
            file = self.strings.add(library)
            result += struct.pack("<HHIII", 1, len(names), file, 16, following)
            for index, name in enumerate(names):
                last = index + 1 == len(names)
                result += struct.pack(
                    "<IHHII", elf_hash(name), 0, 2, self.strings.add(name), 0 if last else 16
                )
        return result

    def _verdef(self) -> bytes:
        result = b""
        for index, name in enumerate(self.spec.defines):
            last = index + 1 == len(self.spec.defines)
            result += struct.pack(
                "<HHHHIII", 1, 0, index + 1, 1, elf_hash(name), 20, 0 if last else 28
            )
            result += struct.pack("<II", self.strings.add(name), 0)
        return result

    def _not_loaded(self) -> list[_Section]:
        if not self.spec.debug:
            return []
        return [
            _Section(".comment", SHT_PROGBITS, 0, b"made by hand\0"),
            _Section(".debug_info", SHT_PROGBITS, 0, self.spec.debug),
            _Section(".symtab", SHT_SYMTAB, 0, bytes(24), ".strtab", 0, 24),
            _Section(".strtab", SHT_STRTAB, 0, b"\0local\0"),
        ]
