"""The one reader of ELF files, at the bounds of what it takes."""

from __future__ import annotations

import struct

import pytest
from layersmith.base import elf

from tests.support.tiny_elf import EM_X86_64, TinyElf

ARM = TinyElf(needed=("libc.so.6",), versions={"libc.so.6": ("GLIBC_2.17", "GLIBC_2.28")}).build()


def facts(*names: str) -> elf.ElfFacts:
    return elf.ElfFacts(64, True, "aarch64", "ET_DYN", versions={"libc.so.6": names})


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (ARM, "arm64"),
        (ARM[: elf.HEAD], "arm64"),
        (ARM[: elf.HEAD - 1], None),
        (TinyElf(machine=EM_X86_64).build(), "x86_64"),
        (ARM[:18] + struct.pack("<H", 0x08) + ARM[20:], "machine 8"),
        (b"MZ" + bytes(30), None),
        (b"", None),
    ],
)
def test_the_machine_in_a_header(head: bytes, expected: str | None) -> None:
    assert elf.machine(head) == expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [(b"\x7fELF", True), (b"\x7fELFx", True), (b"\x7fEL", False), (b"\x7fELf", False)],
)
def test_what_claims_to_be_an_elf_file(head: bytes, expected: bool) -> None:
    assert elf.is_elf(head) is expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), (0, 0)),
        (("GLIBC_PRIVATE",), (0, 0)),
        (("GLIBC_2",), (0, 0)),
        (("GLIBC_2.9", "GLIBC_2.17"), (2, 17)),
        (("GLIBC_2.2.5",), (2, 2)),
        (("GLIBCXX_3.4.30", "GLIBC_2.3"), (2, 3)),
        (("CXXABI_1.3",), (0, 0)),
    ],
)
def test_the_highest_glibc(names: tuple[str, ...], expected: tuple[int, int]) -> None:
    assert elf.highest_glibc(facts(*names)) == expected


def test_a_symbol_is_defined_here_or_elsewhere() -> None:
    content = TinyElf(exports=("mine", "theirs")).build()
    # An entry of .dynsym begins with its name; 0 is the section of what is elsewhere (gABI).
    rest = struct.pack("<BBHQQ", 0x12, 0, 1, 0x40, 8)
    at = content.rindex(rest)
    assert content.count(rest) == 2
    changed = content[: at + 2] + bytes(2) + content[at + 4 :]
    assert elf.symbols(content) == elf.DynamicSymbols(frozenset(), frozenset({"mine", "theirs"}))
    assert elf.symbols(changed) == elf.DynamicSymbols(frozenset({"theirs"}), frozenset({"mine"}))


def test_the_facts_of_a_file() -> None:
    read = elf.read(ARM)
    assert (read.machine, read.bits, read.little_endian) == ("aarch64", 64, True)
    assert read.needed == ("libc.so.6",)
    assert elf.highest_glibc(read) == (2, 28)


@pytest.mark.parametrize("length", [0, 3, 4, 16, 63])
@pytest.mark.parametrize("reader", [elf.read, elf.symbols, elf.section_sizes])
def test_a_file_that_was_cut_short_is_damaged(reader: object, length: int) -> None:
    assert callable(reader)
    with pytest.raises(elf.DamagedElf):
        reader(ARM[:length])


def test_a_segment_may_end_with_the_file_and_not_behind_it() -> None:
    (start,) = struct.unpack_from("<Q", ARM, 32)
    size, count = struct.unpack_from("<HH", ARM, 54)
    headers = range(start, start + size * count, size)
    load = next(at for at in headers if struct.unpack_from("<I", ARM, at) == (1,))
    (offset,) = struct.unpack_from("<Q", ARM, load + 8)
    grown = bytearray(ARM)

    struct.pack_into("<Q", grown, load + 32, len(ARM) - offset)
    assert elf.read(bytes(grown)).machine == "aarch64"

    struct.pack_into("<Q", grown, load + 32, len(ARM) - offset + 1)
    with pytest.raises(elf.DamagedElf, match="a segment ends at byte"):
        elf.read(bytes(grown))
