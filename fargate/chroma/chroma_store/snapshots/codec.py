"""Chunks as zstd frames: whole, or as a patch against the chunk that was there before.

Chroma changes its files in place: an insert rewrites the links of some dozens of neighbours, each
in another page, so nearly every chunk differs after 1 % of changes, but by a few bytes. A patch
is an ordinary zstd frame with the former chunk as its dictionary of raw content.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import zstandard
from vector_common.errors import Damaged

from chroma_store.snapshots.manifest import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    Frame = bytes | memoryview

LEVEL = 3
"""zstd's default. Vectors hardly compress: level 9 takes five times as long for 1 % less."""

# A patch must see its whole dictionary and its own content at once.
_PATCH_WINDOW_LOG = (2 * CHUNK_BYTES - 1).bit_length()


def sha256(data: bytes) -> str:
    """The checksum of a chunk, in hex."""
    return hashlib.sha256(data).hexdigest()


def compress(data: bytes) -> bytes:
    """Return ``data`` as a frame of its own, at most `CHUNK_BYTES` long before."""
    # The manifest has a SHA-256 of the content; zstd's own checksum would be a second one.
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=False).compress(data)


def compress_patch(data: bytes, former: bytes) -> bytes:
    """Return ``data`` as a frame that needs ``former`` to be read."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL,
        source_size=len(data),
        dict_size=len(former),
        window_log=_PATCH_WINDOW_LOG,
        write_content_size=True,
    )
    compressor = zstandard.ZstdCompressor(
        compression_params=parameters, dict_data=_dictionary(former)
    )
    return compressor.compress(data)


def decompress(frames: Sequence[Frame], size: int, digest: str, *, what: str) -> bytes:
    """Undo `compress` and then each `compress_patch`.

    Args:
        frames: A whole frame and the patches on it, in order.
        size: The bytes that must come out.
        digest: Their SHA-256 in hex.
        what: Names the chunk in messages.

    Raises:
        Damaged: Anything else came out. Never allocates more than a chunk for a frame.
    """
    data = b""
    for number, frame in enumerate(frames):
        data = _decompress_one(frame, data if number else None, what)
    if len(data) != size or sha256(data) != digest:
        raise Damaged(f"{what}: does not match the checksum in its manifest")
    return data


def _decompress_one(frame: Frame, former: bytes | None, what: str) -> bytes:
    try:
        # Without a declared size a frame could unpack to anything: a bomb is refused unopened.
        declared = zstandard.frame_content_size(frame)
        if not 0 < declared <= CHUNK_BYTES:
            raise Damaged(f"{what}: a frame declares {declared} bytes")
        decompressor = zstandard.ZstdDecompressor(
            dict_data=None if former is None else _dictionary(former),
            max_window_size=1 << _PATCH_WINDOW_LOG,
        )
        return decompressor.decompress(frame, max_output_size=declared, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Damaged(f"{what}: {error}") from None


def _dictionary(data: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(data, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
