"""Writes a layer's zip: the same bytes on every machine, compressed once.

libdeflate compresses in parallel, and what it made is kept in the cache by distribution. A file
that the wheel holds in fewer bytes keeps those of the wheel (their CRC was checked when the wheel
entered the store). Order, dates, modes and the creator are fixed, so that nothing of the machine
gets in.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING

import deflate

from layersmith import cache
from layersmith.assemble import wheel
from layersmith.assemble.tree import Entry, WheelMember
from layersmith.base.zips import EXECUTABLE_MODE, FILE_MODE
from layersmith.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

LEVEL = 10
"""libdeflate's level: 2.5 % smaller than zlib's 9 and its own 9, at 13 MB/s; 12 saves another
0.1 % and takes twice as long (five layers of 6 to 22 MB, 2026-11)."""

LEAST = 0.8
"""Bytes of a file in a layer per byte that its wheel holds, at least: 0.81 where zlib compressed
sources at level 1, 0.96 at its default of 6 (cryptography, 2026-11)."""

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
    with ThreadPoolExecutor(workers) as pool, contextlib.ExitStack() as wheels:
        handles: dict[Path, int] = {}
        waiting = {e.path: pool.submit(pack, e) for e in entries if not _is_copied(e)}

        def members() -> Iterator[Member]:
            for entry in entries:
                future = waiting.pop(entry.path, None)
                yield future.result() if future else _copy(entry, handles, wheels)

        return _write(stream, members())


def _write(stream: IO[bytes], members: Iterable[Member]) -> Written:
    digest = hashlib.sha256()
    directory: list[bytes] = []
    sizes: dict[str, int] = {}
    offset = 0

    def emit(data: bytes) -> None:
        nonlocal offset
        stream.write(data)
        digest.update(data)
        offset += len(data)

    for member in members:
        if offset + len(member.data) > MAX_BYTES:
            raise BuildError("the zip would be larger than 4 GiB")
        directory.append(_central(member, offset))
        sizes[member.entry.path] = len(member.data)
        emit(_local(member) + member.data)
    start = offset
    for record in directory:
        emit(record)
    count = len(directory)
    emit(END.pack(b"PK\x05\x06", 0, 0, count, count, offset - start, start, 0))
    return Written(digest.digest(), offset, sizes)


def packed(entries: Sequence[Entry], *, workers: int = 4) -> list[Entry]:
    """Return entries with what libdeflate makes smaller as members of zips in the cache.

    Args:
        entries: The files in their final order.
        workers: Threads that compress.

    Raises:
        BuildError: A member is damaged.
        OSError: The disk is full.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        if not (isinstance(entry.source, WheelMember) and entry.source.packed):
            groups.setdefault(entry.distribution, []).append(entry)
    found: dict[str, Entry] = {}
    for group in groups.values():
        place = cache.section("packed") / f"{_digest(group)}.zip"
        if not place.exists():
            with ThreadPoolExecutor(workers) as pool, cache.atomic_writer(place) as stream:
                members = list(pool.map(pack, group))
                _write(stream, (one for one in members if _is_smaller(one)))
        sources = wheel.locate(place, wheel.directory(place))
        found |= {
            entry.path: replace(entry, source=replace(sources[entry.path], packed=True))
            for entry in group
            if entry.path in sources
        }
    return [found.get(entry.path, entry) for entry in entries]


def identity(entry: Entry) -> str:
    """Return what tells the content of an entry from others, without reading a wheel."""
    source = entry.source
    if isinstance(source, WheelMember):
        # The folder's name in the store is the SHA-256 of the wheel.
        return f"{source.wheel.parent.name} {source.crc:08x} {source.size}"
    return cache.sha256_bytes(source.read())


def _digest(entries: Sequence[Entry]) -> str:
    lines = [deflate.__version__, str(LEVEL)]
    lines += [f"{entry.path} {identity(entry)}" for entry in entries]
    return cache.sha256_bytes("\n".join(lines).encode())


def _is_smaller(member: Member) -> bool:
    source = member.entry.source
    if isinstance(source, WheelMember) and source.method == DEFLATED:
        return len(member.data) < source.compressed_size
    return True


def pack(entry: Entry) -> Member:
    """Compress an entry; what deflate would make larger is stored."""
    content = entry.source.read()
    packed = bytes(deflate.deflate_compress(content, LEVEL)) if content else b""
    smaller = len(packed) < len(content)
    return Member(
        entry=entry,
        data=packed if smaller else content,
        method=DEFLATED if smaller else STORED,
        crc=zlib.crc32(content),
        size=len(content),
    )


def _is_copied(entry: Entry) -> bool:
    """Whether an entry keeps the bytes of its zip: what a wheel only stores is compressed."""
    source = entry.source
    return isinstance(source, WheelMember) and (source.packed or source.method == DEFLATED)


def _copy(entry: Entry, handles: dict[Path, int], stack: contextlib.ExitStack) -> Member:
    """Take the bytes that a zip already holds; every zip is opened once."""
    source = entry.source
    assert isinstance(source, WheelMember)
    handle = handles.get(source.wheel)
    if handle is None:
        handle = handles[source.wheel] = os.open(source.wheel, os.O_RDONLY)
        stack.callback(os.close, handle)
    data = os.pread(handle, source.compressed_size, source.offset)
    return Member(entry, data, source.method, source.crc, source.size)


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
