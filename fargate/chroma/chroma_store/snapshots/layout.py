"""Which files a data folder has, and how they are cut into chunks."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vector_common.errors import Refused

from chroma_store.snapshots.checks import check_path
from chroma_store.snapshots.manifest import CHUNK_BYTES, FileEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chroma_store.snapshots.manifest import SnapshotManifest

STAGING = ".restoring"
"""Folder inside a data folder whose presence means that a restore did not finish."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file: ``length`` bytes from ``offset``, at ``at`` within their chunk."""

    path: str
    offset: int
    length: int
    at: int


@dataclass(frozen=True)
class Layout:
    """A folder cut into chunks.

    Attributes:
        files: In the order of a manifest.
        pieces: For every chunk, what it is made of.
        state: Size and time of change of every file, to notice writes.
    """

    files: tuple[FileEntry, ...]
    pieces: tuple[tuple[Piece, ...], ...]
    state: frozenset[tuple[str, int, int]]


def scan(folder: Path) -> Layout:
    """Cut a data folder into chunks.

    Raises:
        Refused: It holds a link, a device, or a name that a restore would refuse, or an
            unfinished restore.
    """
    if (folder / STAGING).exists():
        raise Refused(f"{folder}: contains an unfinished restore; restore it again first")
    found = sorted(_walk(folder, ""), key=lambda item: (item[1] >= CHUNK_BYTES, item[0]))
    files: list[FileEntry] = []
    chunks: list[list[Piece]] = []
    room = 0
    for path, size, _ in found:
        if size == 0:
            files.append(FileEntry(path, 0, 0, 0))
        elif size <= room:
            at = CHUNK_BYTES - room
            files.append(FileEntry(path, size, len(chunks) - 1, at))
            chunks[-1].append(Piece(path, 0, size, at))
            room -= size
        else:
            files.append(FileEntry(path, size, len(chunks), 0))
            chunks += [
                [Piece(path, start, min(CHUNK_BYTES, size - start), 0)]
                for start in range(0, size, CHUNK_BYTES)
            ]
            room = CHUNK_BYTES - size if size < CHUNK_BYTES else 0
    return Layout(tuple(files), tuple(map(tuple, chunks)), frozenset(found))


def pieces_of(manifest: SnapshotManifest) -> list[list[Piece]]:
    """The inverse of `scan`, for a manifest that was checked: what each chunk is made of."""
    pieces: list[list[Piece]] = [[] for _ in manifest.chunks]
    for entry in manifest.files:
        done, chunk, at = 0, entry.chunk, entry.offset
        while done < entry.size:
            step = min(entry.size - done, manifest.chunks[chunk].size - at)
            pieces[chunk].append(Piece(entry.path, done, step, at))
            done, chunk, at = done + step, chunk + 1, 0
    return pieces


def read_pieces(folder: Path, pieces: tuple[Piece, ...]) -> bytes:
    """Read a chunk from a data folder.

    Raises:
        Refused: A file is gone, has become shorter, or cannot be read.
    """
    parts = []
    for piece in pieces:
        try:
            with (folder / piece.path).open("rb") as file:
                part = os.pread(file.fileno(), piece.length, piece.offset)
        except OSError as error:
            raise Refused(f"{piece.path}: cannot be read: {error.strerror}") from error
        if len(part) != piece.length:
            raise Refused(f"{piece.path}: changed while it was read; stop the server first")
        parts.append(part)
    return b"".join(parts)


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = check_path(prefix + entry.name)
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(Path(entry.path), f"{path}/")
            elif stat.S_ISREG(status.st_mode):
                yield path, status.st_size, status.st_mtime_ns
            else:
                raise Refused(f"{path}: is a link or a special file; Chroma makes neither")
