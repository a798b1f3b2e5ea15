"""Writes a layer's zip: the same bytes on every machine, compressed once.

A file that reaches the layer as its wheel holds it keeps the wheel's compressed bytes (their CRC
was checked when the wheel entered the store); what the build made or changed is compressed by
libdeflate, in parallel. Order, dates, modes and the creator are fixed, so that nothing of the
machine gets in.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from typing import IO, TYPE_CHECKING

import deflate

from layersmith import cache
from layersmith.assemble import wheel
from layersmith.assemble.tree import Entry, WheelMember
from layersmith.base.zips import EXECUTABLE_MODE, FILE_MODE
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LARGE = 100_000
"""Bytes from which the compressed form of what a build made is kept in the cache, by content."""

DIGEST = hashlib.sha256().digest_size

LEVEL = 9
"""libdeflate's level; at 9 it is smaller than zlib's 9 and several times as fast."""

STORED, DEFLATED = 0, 8
"""Compression methods (APPNOTE 4.4.5)."""

DOS_DATE = 0x0021
"""1980-01-01, the earliest date that a zip can hold (APPNOTE 4.4.6)."""

UTF8_NAME = 0x0800
"""General purpose flag 11: the name is UTF-8 (APPNOTE 4.4.4)."""

UNIX_CREATOR = (3 << 8) | 20
"""Made by version 2.0 on Unix, so that modes count (APPNOTE 4.4.2)."""

REGULAR_FILE = 0o100000
MAX_ENTRIES = 0xFFFF
MAX_BYTES = 0xFFFFFFFF

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")


@dataclass(frozen=True)
class Member:
    """An entry, ready to be written."""

    entry: Entry
    data: bytes
    method: int
    crc: int
    size: int


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        sha256: Digest of the zip, 32 bytes.
        zipped: Bytes of the zip.
        sizes: Compressed bytes of every file by its path in the zip.
    """

    sha256: bytes
    zipped: int
    sizes: dict[str, int]


def version() -> str:
    """Return what the compressed bytes follow from beside the content."""
    return f"deflate {metadata.version('deflate')}, level {LEVEL}"


def kept(folder: Path) -> dict[str, WheelMember]:
    """Return what `keep` put into a folder of the cache, by path; damaged files are removed."""
    found: dict[str, WheelMember] = {}
    for path in sorted(folder.glob("*.zip")):
        try:
            found |= wheel.locate(path, wheel.directory(path))
        except BuildError:
            path.unlink(missing_ok=True)
    return found


def keep(folder: Path, entries: Sequence[Entry]) -> dict[str, WheelMember]:
    """Compress files into a zip of their own in a folder of the cache, and return its members.

    An existing zip stays untouched: others may be reading it.
    """
    ordered = sorted(entries, key=lambda entry: entry.path)
    names = "\n".join(entry.path for entry in ordered)
    path = folder / f"{cache.sha256_bytes(names.encode())}.zip"
    with cache.atomic_writer(path) as stream:
        write(stream, ordered, workers=1)
    return wheel.locate(path, wheel.directory(path))


def write(stream: IO[bytes], entries: Sequence[Entry], *, workers: int = 4) -> Written:
    """Write ``entries``, sorted by the caller, as a zip.

    Args:
        stream: Where to write; it is only appended to.
        entries: The files in their final order.
        workers: Threads that compress what has to be compressed.

    Raises:
        BuildError: There are more files or bytes than a zip without Zip64 can hold, or a member
            is damaged.
        OSError: The disk is full.
    """
    if len(entries) > MAX_ENTRIES:
        raise BuildError(f"{len(entries)} files are more than a zip can hold ({MAX_ENTRIES})")
    digest = hashlib.sha256()
    directory: list[bytes] = []
    sizes: dict[str, int] = {}
    offset = 0

    def emit(data: bytes) -> None:
        nonlocal offset
        stream.write(data)
        digest.update(data)
        offset += len(data)

    with ThreadPoolExecutor(workers) as pool, contextlib.ExitStack() as wheels:
        handles: dict[Path, int] = {}
        waiting = {e.path: pool.submit(pack, e) for e in entries if not _as_in_wheel(e)}
        for entry in entries:
            future = waiting.pop(entry.path, None)
            member = future.result() if future else _copy(entry, handles, wheels)
            if offset + len(member.data) > MAX_BYTES:
                raise BuildError("the zip would be larger than 4 GiB")
            directory.append(_central(member, offset))
            sizes[entry.path] = len(member.data)
            emit(_local(member) + member.data)
    start = offset
    for record in directory:
        emit(record)
    count = len(directory)
    emit(END.pack(b"PK\x05\x06", 0, 0, count, count, offset - start, start, 0))
    return Written(digest.digest(), offset, sizes)


def pack(entry: Entry) -> Member:
    """Compress an entry; what deflate would make larger is stored."""
    content = entry.source.read()
    packed = _deflated(content) if content else b""
    smaller = len(packed) < len(content)
    return Member(
        entry=entry,
        data=packed if smaller else content,
        method=DEFLATED if smaller else STORED,
        crc=zlib.crc32(content),
        size=len(content),
    )


def _deflated(content: bytes) -> bytes:
    """Return content compressed; what is large is kept, as a stripped library is in many layers."""
    if len(content) < LARGE:
        return bytes(deflate.deflate_compress(content, LEVEL))
    key = cache.sha256_bytes(f"{version()} {cache.sha256_bytes(content)}".encode())
    path = cache.section("deflated") / key[:2] / key
    with contextlib.suppress(OSError):
        kept = path.read_bytes()
        if hashlib.sha256(kept[:-DIGEST]).digest() == kept[-DIGEST:]:
            return kept[:-DIGEST]
    packed = bytes(deflate.deflate_compress(content, LEVEL))
    cache.write_bytes(path, packed + hashlib.sha256(packed).digest())
    return packed


def _as_in_wheel(entry: Entry) -> bool:
    return isinstance(entry.source, WheelMember) and entry.source.method == DEFLATED


def _copy(entry: Entry, handles: dict[Path, int], stack: contextlib.ExitStack) -> Member:
    """Take the compressed bytes that a wheel already holds; every wheel is opened once."""
    source = entry.source
    assert isinstance(source, WheelMember)
    handle = handles.get(source.wheel)
    if handle is None:
        handle = handles[source.wheel] = os.open(source.wheel, os.O_RDONLY)
        stack.callback(os.close, handle)
    data = os.pread(handle, source.compressed_size, source.offset)
    return Member(entry, data, DEFLATED, source.crc, source.size)


def _local(member: Member) -> bytes:
    name = member.entry.path.encode("utf-8")
    return (
        LOCAL.pack(
            b"PK\x03\x04",
            20,
            _flags(name),
            member.method,
            0,
            DOS_DATE,
            member.crc,
            len(member.data),
            member.size,
            len(name),
            0,
        )
        + name
    )


def _central(member: Member, offset: int) -> bytes:
    name = member.entry.path.encode("utf-8")
    mode = EXECUTABLE_MODE if member.entry.executable else FILE_MODE
    return (
        CENTRAL.pack(
            b"PK\x01\x02",
            UNIX_CREATOR,
            20,
            _flags(name),
            member.method,
            0,
            DOS_DATE,
            member.crc,
            len(member.data),
            member.size,
            len(name),
            0,
            0,
            0,
            0,
            (REGULAR_FILE | mode) << 16,
            offset,
        )
        + name
    )


def _flags(name: bytes) -> int:
    return 0 if name.isascii() else UTF8_NAME
