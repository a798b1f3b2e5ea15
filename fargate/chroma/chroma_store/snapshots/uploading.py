"""From a data folder to packs: what is there already is not uploaded again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from vector_common.errors import Damaged, NotFound

from chroma_store.snapshots import codec
from chroma_store.snapshots.layout import pieces_of, read_pieces
from chroma_store.snapshots.manifest import MAX_LAYERS, Chunk
from chroma_store.snapshots.packs import fetch

if TYPE_CHECKING:
    from pathlib import Path

    from chroma_store.snapshots.layout import Layout, Piece
    from chroma_store.snapshots.manifest import SnapshotManifest
    from chroma_store.snapshots.packs import PackWriter
    from chroma_store.storage import Storage

GROUP_CHUNKS = 4
"""Chunks that one thread handles together: 4 MiB, half a pack."""


class UploadSource:
    """A data folder, and what the snapshot before it has of it.

    Args:
        folder: Chroma's folder.
        layout: As it was scanned.
        former: The parent's manifest, if there is one.
    """

    def __init__(self, folder: Path, layout: Layout, former: SnapshotManifest | None) -> None:
        self.folder = folder
        self.layout = layout
        self._by_content: dict[tuple[int, str], Chunk] = {}
        self._by_place: dict[tuple[str, int], Chunk] = {}
        if former:
            for chunk, pieces in zip(former.chunks, pieces_of(former), strict=True):
                self._by_content[chunk.size, chunk.sha256] = chunk
                self._by_place[pieces[0].path, pieces[0].offset] = chunk

    def same(self, size: int, sha256: str) -> Chunk | None:
        """The parent's chunk with this content, wherever it is."""
        return self._by_content.get((size, sha256))

    def before(self, pieces: tuple[Piece, ...]) -> Chunk | None:
        """The parent's chunk at this place, if it may get another patch."""
        chunk = self._by_place.get((pieces[0].path, pieces[0].offset))
        return chunk if chunk and len(chunk.layers) < MAX_LAYERS else None


def upload(
    storage: Storage, database: str, source: UploadSource, writer: PackWriter, threads: int
) -> list[Chunk]:
    """Upload what the store does not have of a folder; return all its chunks in order.

    Raises:
        Refused: A file changed meanwhile.
        StoreError: The store failed. What was uploaded stays, and retention removes it.
    """
    pieces = source.layout.pieces
    groups = [pieces[i : i + GROUP_CHUNKS] for i in range(0, len(pieces), GROUP_CHUNKS)]

    def work(group: tuple[tuple[Piece, ...], ...]) -> list[Chunk]:
        return _upload_group(storage, database, source, group, writer)

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, group) for group in groups]
        try:
            chunks = [chunk for future in futures for chunk in future.result()]
        finally:
            pool.shutdown(cancel_futures=True)
    writer.flush()
    return chunks


def _upload_group(
    storage: Storage,
    database: str,
    source: UploadSource,
    group: tuple[tuple[Piece, ...], ...],
    writer: PackWriter,
) -> list[Chunk]:
    chunks: list[Chunk | None] = []
    changed: list[tuple[int, bytes, Chunk | None]] = []
    for index, pieces in enumerate(group):
        data = read_pieces(source.folder, pieces)
        chunk = Chunk(len(data), codec.sha256(data), ())
        known = source.same(chunk.size, chunk.sha256)
        if known is None:
            changed.append((index, data, source.before(pieces)))
        chunks.append(known or chunk)
    former = _read_former(storage, database, [old for _, _, old in changed if old])
    frames = [_compress(data, old, former) for _, data, old in changed]
    layers = writer.add(frame for frame, _ in frames)
    for (index, _, old), (_, is_patch), layer in zip(changed, frames, layers, strict=True):
        below = old.layers if old and is_patch else ()
        new = chunks[index]
        assert new is not None
        chunks[index] = Chunk(new.size, new.sha256, (*below, layer))
    return [chunk for chunk in chunks if chunk]


def _read_former(storage: Storage, database: str, chunks: list[Chunk]) -> dict[Chunk, bytes]:
    try:
        frames = fetch(storage, database, chunks)
        return {
            chunk: codec.decompress(
                [frames[layer] for layer in chunk.layers],
                chunk.size,
                chunk.sha256,
                what="a chunk of the parent",
            )
            for chunk in chunks
        }
    except (NotFound, Damaged):
        # Without its base a patch is worthless: uploading these chunks whole repairs them.
        return {}


def _compress(data: bytes, old: Chunk | None, former: dict[Chunk, bytes]) -> tuple[bytes, bool]:
    """Return a frame, and whether it is a patch.

    All patches of a chunk may have half the bytes of its whole frame, so that no restore reads
    more than one and a half times what the data takes.
    """
    if old and old in former:
        patch = codec.compress_patch(data, former[old])
        patches = sum(layer.length for layer in old.layers[1:]) + len(patch)
        if patches <= old.layers[0].length // 2:
            return patch, True
    return codec.compress(data), False
