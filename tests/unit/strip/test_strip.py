import io
import struct
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st
from layersmith.assemble.strip import MINIMUM_GAIN, strip
from layersmith.base import elf

from tests.support.tiny_elf import ET_REL, PT_LOAD, TinyElf

WHOLE = TinyElf(
    needed=("libc.so.6", "libx.so"),
    soname="liby.so",
    rpath="$ORIGIN/../y.libs",
    versions={"libc.so.6": ("GLIBC_2.17",), "libx.so": ("X_1",)},
    defines=("Y_1",),
    exports=("PyInit_y", "helper"),
)
PATCHED = TinyElf(needed=("libc.so.6",), exports=("PyInit_y",), tail=b"patchelf " * 50)
"""A second loaded segment behind the debug sections, with its address far from its offset."""

PHDRS, PHDR = 64, 56
OFFSET_OF_SEGMENT = 8


def loaded(content: bytes) -> list[tuple[dict[str, Any], bytes]]:
    segments = ELFFile(io.BytesIO(content)).iter_segments("PT_LOAD")
    return [(dict(segment.header), segment.data()) for segment in segments]


def names(content: bytes) -> list[str]:
    return [section.name for section in ELFFile(io.BytesIO(content)).iter_sections()]


@pytest.mark.parametrize("spec", [WHOLE, PATCHED], ids=["linked", "patched"])
def test_a_loader_sees_the_same_file(spec: TinyElf) -> None:
    before = spec.build()
    after = strip(before)
    assert len(after) < len(before) - len(spec.debug) + MINIMUM_GAIN
    assert elf.read(after, module="y") == elf.read(before, module="y")
    for (old, old_bytes), (new, new_bytes) in zip(loaded(before), loaded(after), strict=True):
        assert {**new, "p_offset": 0} == {**old, "p_offset": 0}
        # The first segment holds the file's own headers, which name the new offsets.
        skip = PHDRS + 4 * PHDR if new["p_offset"] == 0 else 0
        assert new_bytes[skip:] == old_bytes[skip:]


def test_sections_that_are_not_loaded_are_gone() -> None:
    kept = {name for name in names(strip(WHOLE.build())) if name}
    assert kept.isdisjoint({".debug_info", ".comment", ".symtab", ".strtab"})
    assert {".dynsym", ".dynstr", ".hash", ".dynamic", ".gnu.version_r", ".shstrtab"} <= kept


def test_sections_keep_their_numbers_because_symbols_refer_to_them() -> None:
    before, after = names(PATCHED.build()), names(strip(PATCHED.build()))
    assert after == [name if name in after else "" for name in before]
    assert after[before.index(".tail")] == ".tail"


@pytest.mark.parametrize("align", [0x1000, 0x10000])
def test_a_moved_segment_stays_congruent_to_its_address(align: int) -> None:
    before = TinyElf(tail=b"T" * 300, align=align, debug=bytes(5 * align)).build()
    after = strip(before)
    header, data = loaded(after)[1]
    assert header["p_offset"] < loaded(before)[1][0]["p_offset"]
    assert (header["p_vaddr"] - header["p_offset"]) % align == 0
    assert data == b"T" * 300


@pytest.mark.parametrize("spec", [WHOLE, PATCHED], ids=["linked", "patched"])
def test_the_same_bytes_again_and_nothing_more_the_second_time(spec: TinyElf) -> None:
    once = strip(spec.build())
    assert strip(spec.build()) == once
    assert strip(once) is once


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"import os\n" * 1000, id="text"),
        pytest.param(b"\x7fELF", id="magic alone"),
        pytest.param(TinyElf(bits=32).build(), id="32 bit"),
        pytest.param(TinyElf(little_endian=False).build(), id="big-endian"),
        pytest.param(TinyElf(kind=ET_REL).build(), id="object file"),
        pytest.param(TinyElf(debug=b"").build(), id="nothing to drop"),
        pytest.param(TinyElf(debug=b"d" * 2000).build(), id="less than a page to gain"),
        pytest.param(TinyElf(appended=b"PK\3\4 payload").build(), id="self-extracting"),
        pytest.param(WHOLE.build()[:-200], id="cut short"),
    ],
)
def test_left_alone(content: bytes) -> None:
    assert strip(content) is content


def test_padding_behind_the_end_is_no_payload() -> None:
    padded = TinyElf(appended=bytes(512))
    assert len(strip(padded.build())) < len(padded.build()) - len(padded.debug)


def test_overlapping_segments_are_left_alone() -> None:
    content = bytearray(PATCHED.build())
    place = PHDRS + PHDR + OFFSET_OF_SEGMENT
    assert struct.unpack_from("<I", content, PHDRS + PHDR) == (PT_LOAD,)
    struct.pack_into("<Q", content, place, 0x40)
    assert strip(bytes(content)) == bytes(content)


def test_what_a_segment_needs_outside_the_loaded_ones_is_not_lost() -> None:
    content = bytearray(WHOLE.build())
    # The dynamic segment is moved into the debug section, which stripping would drop.
    debug = ELFFile(io.BytesIO(content)).get_section_by_name(".debug_info")
    assert debug is not None
    struct.pack_into("<Q", content, PHDRS + PHDR + OFFSET_OF_SEGMENT, debug["sh_offset"])
    assert strip(bytes(content)) == bytes(content)


def judge_damaged(content: bytes) -> None:
    result = strip(content)
    if result is not content:
        assert len(result) <= len(content) - MINIMUM_GAIN
        assert [data for _, data in loaded(result)[1:]] == [data for _, data in loaded(content)[1:]]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([WHOLE, PATCHED]), st.floats(0, 1))
def test_truncated_files_never_crash(spec: TinyElf, part: float) -> None:
    content = spec.build()
    judge_damaged(content[: int(len(content) * part)])


HEADERS = PHDRS + 4 * PHDR


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([WHOLE, PATCHED]),
    st.lists(st.tuples(st.integers(4, HEADERS - 1), st.integers(0, 255)), min_size=1, max_size=4),
    st.booleans(),
)
def test_damaged_headers_never_crash(
    spec: TinyElf, changes: list[tuple[int, int]], behind: bool
) -> None:
    content = bytearray(spec.build())
    start = len(content) - HEADERS if behind else 0
    for place, value in changes:
        content[start + place] = value
    judge_damaged(bytes(content))
