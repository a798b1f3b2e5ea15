from __future__ import annotations

import contextlib
import io
import itertools
import random

import pytest
import zstandard
from chroma_store.snapshots import codec
from chroma_store.snapshots.manifest import CHUNK_BYTES
from hypothesis import given, settings
from hypothesis import strategies as st
from vector_common.errors import Damaged


def restored(frames: list[bytes], data: bytes) -> bytes:
    return codec.decompress(frames, len(data), codec.sha256(data), what="test")


@given(st.binary(min_size=1, max_size=5000))
def test_a_frame_gives_its_content(data: bytes) -> None:
    assert restored([codec.compress(data)], data) == data


@settings(max_examples=30)
@given(st.lists(st.binary(min_size=1, max_size=3000), min_size=2, max_size=6))
def test_patches_upon_patches(versions: list[bytes]) -> None:
    frames = [codec.compress(versions[0])]
    for former, data in itertools.pairwise(versions):
        frames.append(codec.compress_patch(data, former))
    assert restored(frames, versions[-1]) == versions[-1]


def test_a_patch_of_a_whole_chunk_takes_what_changed() -> None:
    """Incompressible content with changes all over: what an index looks like after an insert."""
    rng = random.Random(1)
    former = rng.randbytes(CHUNK_BYTES)
    data = bytearray(former)
    for place in range(0, CHUNK_BYTES, 5000):
        data[place : place + 8] = rng.randbytes(8)
    patch = codec.compress_patch(bytes(data), former)
    assert len(patch) < CHUNK_BYTES // 50
    assert restored([codec.compress(former), patch], bytes(data)) == data


@given(st.binary(min_size=50, max_size=500), st.data())
def test_no_damage_goes_unnoticed(content: bytes, data: st.DataObject) -> None:
    frame = bytearray(codec.compress(content))
    place = data.draw(st.integers(0, len(frame) - 1))
    frame[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(Damaged):
        assert restored([bytes(frame)], content) == content


@pytest.mark.parametrize("cut", [0, 1, 5, -1])
def test_a_frame_that_was_cut_off(cut: int) -> None:
    content = random.Random(2).randbytes(1000)
    with pytest.raises(Damaged):
        restored([codec.compress(content)[:cut]], content)


def test_bytes_behind_a_frame() -> None:
    with pytest.raises(Damaged):
        restored([codec.compress(b"abc") + b"more"], b"abc")


def test_a_bomb_is_refused_by_the_size_it_declares() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 30))
    assert len(bomb) < 200_000
    with pytest.raises(Damaged, match="declares 1073741824 bytes"):
        restored([bomb], b"")


def test_a_bomb_that_declares_nothing() -> None:
    buffer = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(buffer, closefd=False) as writer:
        writer.write(bytes(CHUNK_BYTES))
    with pytest.raises(Damaged, match="declares"):
        restored([buffer.getvalue()], b"")


def test_a_bomb_that_lies_about_its_size() -> None:
    """The frame header says 100 bytes, the blocks hold a mebibyte."""
    honest = zstandard.ZstdCompressor().compress(bytes(CHUNK_BYTES))
    small = zstandard.ZstdCompressor().compress(bytes(100))
    header = zstandard.frame_header_size(honest)
    liar = small[: zstandard.frame_header_size(small)] + honest[header:]
    assert zstandard.frame_content_size(liar) == 100
    with pytest.raises(Damaged):
        restored([liar], bytes(100))


def test_a_window_that_would_take_gigabytes() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, write_content_size=False)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    frame = compressor.compress(b"abc" * 1000)
    with pytest.raises(Damaged):
        restored([frame], b"abc" * 1000)
