"""How a restore shares the chunks of a snapshot out among its requests."""

from __future__ import annotations

import pytest
from chroma_store.snapshots.manifest import Chunk, ChunkLayer, FileEntry, SnapshotManifest
from chroma_store.snapshots.restoring import groups
from vector_common.ids import new_id

MIB = 1024 * 1024


def manifest(packs: int, chunks_each: int, stored: int) -> SnapshotManifest:
    """One file, whose chunks lie in packs in turn, ``stored`` bytes each."""
    names = [f"{new_id()}/{number:06d}" for number in range(packs)]
    chunks = [
        Chunk(MIB, "0" * 64, (ChunkLayer(names[i % packs], i // packs * stored, stored),))
        for i in range(packs * chunks_each)
    ]
    return SnapshotManifest(
        snapshot_id=new_id(),
        database="db",
        parent=None,
        created_at="",
        chroma_version="1.5.9",
        files=(FileEntry("index", MIB * len(chunks), 0, 0),),
        chunks=tuple(chunks),
    )


@pytest.mark.parametrize(
    ("packs", "chunks_each", "expected"),
    [
        pytest.param(10, 8, 10, id="a pack is one request"),
        pytest.param(2, 8, 8, id="fewer packs than threads: parts of them"),
        pytest.param(1, 2, 1, id="no request below a MiB"),
    ],
)
def test_how_many(packs: int, chunks_each: int, expected: int) -> None:
    made = manifest(packs, chunks_each, MIB // 2)
    found = groups(made, threads=8)
    assert len(found) == expected
    for group in found:
        assert len({chunk.layers[0].pack for chunk, _ in group}) == 1
    pieces = sorted(piece.offset for group in found for _, of in group for piece in of)
    assert pieces == [i * MIB for i in range(packs * chunks_each)], "each chunk once"
