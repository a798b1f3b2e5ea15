import io
import struct

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st
from layersmith.base import elf

from tests.support.tiny_elf import EM_386, EM_X86_64, TinyElf

FULL = TinyElf(
    needed=("libc.so.6", "libfoo-1234.so.2"),
    soname="libbar.so.1",
    rpath="$ORIGIN/a:$ORIGIN/../b",
    versions={"libc.so.6": ("GLIBC_2.17", "GLIBC_2.38"), "libfoo-1234.so.2": ("FOO_1",)},
    defines=("BAR_1", "BAR_2"),
    exports=("PyInit_bar", "other"),
)


def test_everything_a_loader_asks_for() -> None:
    facts = elf.read(FULL.build(), module="bar")
    assert facts == elf.ElfFacts(
        bits=64,
        little_endian=True,
        machine="aarch64",
        kind="ET_DYN",
        soname="libbar.so.1",
        needed=("libc.so.6", "libfoo-1234.so.2"),
        rpath=("$ORIGIN/a", "$ORIGIN/../b"),
        versions={"libc.so.6": ("GLIBC_2.17", "GLIBC_2.38"), "libfoo-1234.so.2": ("FOO_1",)},
        defines=frozenset({"BAR_1", "BAR_2"}),
        executable_stack=False,
        initializer=True,
    )


def test_a_runpath_is_no_rpath() -> None:
    facts = elf.read(TinyElf(runpath="$ORIGIN").build())
    assert (facts.rpath, facts.runpath) == ((), ("$ORIGIN",))


@pytest.mark.parametrize(("flags", "expected"), [(6, False), (7, True), (None, None)])
def test_executable_stack(flags: int | None, expected: bool | None) -> None:
    assert elf.read(TinyElf(stack=flags).build()).executable_stack is expected


@pytest.mark.parametrize(
    ("module", "expected"), [("bar", True), ("other", False), ("baz", False), (None, None)]
)
def test_initializer(module: str | None, expected: bool | None) -> None:
    assert elf.read(FULL.build(), module=module).initializer is expected


def test_machines_have_the_names_of_wheel_tags() -> None:
    assert elf.read(TinyElf(machine=EM_X86_64).build()).machine == "x86_64"
    assert elf.read(TinyElf(machine=EM_386).build()).machine == "i386"


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2500), st.binary(max_size=8), st.booleans())
def test_damage_is_reported_and_never_a_crash(place: int, content: bytes, cut: bool) -> None:
    whole = TinyElf(needed=("libc.so.6",), versions=FULL.versions, debug=b"d" * 900).build()
    damaged = whole[:place] + content + (b"" if cut else whole[place + len(content) :])
    try:
        facts = elf.read(damaged, module="x")
    except elf.DamagedElf:
        return
    assert facts.bits in {32, 64}


def test_a_count_of_versions_that_cannot_be() -> None:
    content = bytearray(FULL.build())
    section = ELFFile(io.BytesIO(content)).get_section_by_name(".gnu.version_r")
    assert section is not None
    header = content.index(struct.pack("<QQ", section["sh_offset"], section["sh_size"]))
    # sh_info follows sh_offset, sh_size and sh_link.
    struct.pack_into("<I", content, header + 20, 0xFFFFFFFF)
    with pytest.raises(elf.DamagedElf, match="claims 4294967295 entries"):
        elf.read(bytes(content))


def test_a_file_that_ends_in_the_middle_of_a_segment_is_damaged() -> None:
    whole = TinyElf(tail=b"T" * 5000, debug=b"").build()
    with pytest.raises(elf.DamagedElf):
        elf.read(whole[:-4000])
