"""From packs to a data folder: parallel, checked, and never outside of the folder."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from vector_common.errors import Refused, StoreError

from chroma_store.snapshots import codec
from chroma_store.snapshots.layout import STAGING, pieces_of
from chroma_store.snapshots.packs import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chroma_store.snapshots.layout import Piece
    from chroma_store.snapshots.manifest import Chunk, SnapshotManifest
    from chroma_store.storage import Storage, TransferLimits

    Group = list[tuple[Chunk, list[Piece]]]

# Chroma opens this file first. It is moved last, so that no server starts on half a folder.
_DATABASE_FILE = "chroma.sqlite3"

# Below it, the latency of a request outweighs its bytes.
_LEAST_REQUEST = 1024 * 1024


def restore(
    storage: Storage, manifest: SnapshotManifest | None, folder: Path, limits: TransferLimits
) -> int:
    """Make ``folder`` hold exactly the files of a manifest (none if None); return their bytes."""
    _clear(folder)
    if manifest is None:
        return 0
    try:
        _check_room(manifest, folder, limits)
        staging = folder / STAGING
        staging.mkdir()
        try:
            _write_files(storage, manifest, staging, limits.threads)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        _move_up(staging, folder)
    except OSError as error:
        raise StoreError(f"restore into {folder}: {error.strerror}") from error
    return manifest.total_bytes


def groups(manifest: SnapshotManifest, threads: int) -> list[Group]:
    """The chunks of a manifest with their pieces, as one thread handles them together.

    A pack in one request, for that is what its size was chosen for; parts of it where there are
    fewer packs than threads.
    """
    most = max(_LEAST_REQUEST, manifest.stored_bytes // threads)
    found: list[Group] = []
    open_groups: dict[str, tuple[Group, int]] = {}
    for chunk, pieces in zip(manifest.chunks, pieces_of(manifest), strict=True):
        pack = chunk.layers[0].pack
        group, size = open_groups.get(pack, ([], most))
        if size >= most:
            group, size = [], 0
            found.append(group)
        group.append((chunk, pieces))
        open_groups[pack] = group, size + chunk.stored
    return found


def decompress_chunks(storage: Storage, database: str, chunks: list[Chunk]) -> Iterator[bytes]:
    """Fetch chunks together, and yield the content of each, checked."""
    frames = fetch(storage, database, chunks)
    for chunk in chunks:
        parts = [frames[layer] for layer in chunk.layers]
        what = f"chunk {chunk.sha256[:12]} in pack {chunk.layers[0].pack}"
        yield codec.decompress(parts, chunk.size, chunk.sha256, what=what)


def _clear(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / STAGING).exists():
        for entry in list(folder.iterdir()):
            # The marker goes last: killed here, the folder still counts as unfinished.
            if entry.name != STAGING:
                _remove(entry)
        _remove(folder / STAGING)
    if any(folder.iterdir()):
        raise Refused(f"restore into {folder}: already has files; pass an empty folder")


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def _check_room(manifest: SnapshotManifest, folder: Path, limits: TransferLimits) -> None:
    total = manifest.total_bytes
    if total > limits.max_bytes:
        raise Refused(
            f"snapshot {manifest.snapshot_id}: has {total} bytes, more than {limits.max_bytes}"
        )
    free = shutil.disk_usage(folder).free
    if total > free:
        raise StoreError(
            f"restore into {folder}: the disk is full: {total} bytes are needed, {free} are free"
        )


def _write_files(storage: Storage, manifest: SnapshotManifest, staging: Path, threads: int) -> None:
    for entry in manifest.files:
        path = staging / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        # Exclusive and in a folder of our own making: no link can be in the way.
        with path.open("xb") as file:
            file.truncate(entry.size)

    def work(group: Group) -> None:
        chunks = [chunk for chunk, _ in group]
        contents = decompress_chunks(storage, manifest.database, chunks)
        for (_, pieces), data in zip(group, contents, strict=True):
            _write_pieces(staging, pieces, data)

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, group) for group in groups(manifest, threads)]
        try:
            for future in futures:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _write_pieces(staging: Path, pieces: list[Piece], data: bytes) -> None:
    for piece in pieces:
        descriptor = os.open(staging / piece.path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            view = memoryview(data)[piece.at : piece.at + piece.length]
            offset = piece.offset
            while view:
                written = os.pwrite(descriptor, view, offset)
                view, offset = view[written:], offset + written
        finally:
            os.close(descriptor)


def _move_up(staging: Path, folder: Path) -> None:
    for entry in sorted(staging.iterdir(), key=lambda entry: entry.name == _DATABASE_FILE):
        entry.rename(folder / entry.name)
    staging.rmdir()
