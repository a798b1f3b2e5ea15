from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from chroma_store.snapshots.layout import STAGING, pieces_of, read_pieces, scan
from chroma_store.snapshots.manifest import CHUNK_BYTES, Chunk, ChunkLayer, SnapshotManifest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vector_common.errors import Refused
from vector_common.ids import new_id

if TYPE_CHECKING:
    from pathlib import Path

sizes = st.one_of(
    st.integers(0, 5000),
    st.integers(CHUNK_BYTES - 2, CHUNK_BYTES + 2),
    st.integers(2 * CHUNK_BYTES - 1, 2 * CHUNK_BYTES + 1),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["a", "b/c", "b/d", "e/f/g", "z"]), sizes, max_size=5))
def test_a_folder_and_its_manifest_have_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, int]
) -> None:
    folder = tmp_path_factory.mktemp("data")
    for path, size in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes((path.encode() * (size + 1))[:size])
    layout = scan(folder)
    pack = f"{new_id()}/000000"
    chunks = tuple(
        Chunk(len(read_pieces(folder, pieces)), "0" * 64, (ChunkLayer(pack, 0, 1),))
        for pieces in layout.pieces
    )
    manifest = SnapshotManifest(
        new_id(), "db", None, "now", "1.5.9", files=layout.files, chunks=chunks
    )
    parsed = SnapshotManifest.parse(manifest.serialize())
    assert tuple(map(tuple, pieces_of(parsed))) == layout.pieces
    assert {entry.path: entry.size for entry in parsed.files} == files
    assert all(chunk.size <= CHUNK_BYTES for chunk in chunks)


def test_small_files_share_a_chunk(tmp_path: Path) -> None:
    for number in range(500):
        (tmp_path / f"{number:03d}.bin").write_bytes(bytes(100))
    assert len(scan(tmp_path).pieces) == 1


def test_links_and_special_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(Refused, match="link"):
        scan(tmp_path)
    (tmp_path / "link").unlink()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Refused, match="special"):
        scan(tmp_path)


def test_an_unfinished_restore_is_no_data(tmp_path: Path) -> None:
    (tmp_path / STAGING).mkdir()
    with pytest.raises(Refused, match="unfinished"):
        scan(tmp_path)
