"""A manifest from a stranger: either it can be restored safely, or it is refused."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

import pytest
from chroma_store.snapshots import manifest as module
from chroma_store.snapshots.checks import check_path
from chroma_store.snapshots.layout import pieces_of
from chroma_store.snapshots.manifest import (
    CHUNK_BYTES,
    Chunk,
    ChunkLayer,
    CollectionInfo,
    FileEntry,
    SnapshotManifest,
)
from hypothesis import given
from hypothesis import strategies as st
from vector_common.errors import Damaged, Refused
from vector_common.ids import new_id

PACK = f"{new_id()}/000000"


def manifest(files: list[tuple[str, int, int, int]], sizes: list[int]) -> SnapshotManifest:
    return SnapshotManifest(
        snapshot_id=new_id(),
        database="db",
        parent=None,
        created_at="2026-11-21T00:00:00.000+00:00",
        chroma_version="1.5.9",
        collections=(CollectionInfo("receipts", 384, 3, "l2"),),
        consumed={new_id(): 1},
        files=tuple(FileEntry(*entry) for entry in files),
        chunks=tuple(
            Chunk(size, f"{n:064x}", (ChunkLayer(PACK, n * 10, 10),))
            for n, size in enumerate(sizes)
        ),
    )


def tampered(**changes: Any) -> bytes:
    raw = json.loads(manifest([("chroma.sqlite3", 5, 0, 0)], [5]).serialize())
    return json.dumps(raw | changes).encode()


GOOD = manifest(
    [
        ("a/small", 3, 0, 0),
        ("b/small", 4, 0, 3),
        ("empty", 0, 0, 0),
        ("large", CHUNK_BYTES + 1, 1, 0),
    ],
    [7, CHUNK_BYTES, 1],
)


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert SnapshotManifest.parse(GOOD.serialize()) == GOOD


def test_as_many_files_as_a_snapshot_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", len(GOOD.files))
    assert SnapshotManifest.parse(GOOD.serialize()) == GOOD
    monkeypatch.setattr(module, "MAX_FILES", len(GOOD.files) - 1)
    with pytest.raises(Refused, match=f"more than {len(GOOD.files) - 1} files"):
        SnapshotManifest.parse(GOOD.serialize())


def test_pieces_cover_every_byte_once() -> None:
    covered: dict[str, int] = {}
    for chunk, pieces in zip(GOOD.chunks, pieces_of(GOOD), strict=True):
        assert sum(piece.length for piece in pieces) == chunk.size
        for piece in pieces:
            assert covered.get(piece.path, 0) == piece.offset
            covered[piece.path] = piece.offset + piece.length
    assert covered == {entry.path: entry.size for entry in GOOD.files if entry.size}


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../escape",
        "a/../../escape",
        "a/./b",
        "a//b",
        "a/",
        "..",
        "C:\\windows",
        "a\\..\\b",
        "a\0b",
        "a\nb",
        "a\x1bb",
        "a\u202eb",
        "x" * 256,
        "é" * 128,
        "/".join(["x"] * 600),
    ],
)
def test_paths_that_lead_outside_or_deceive(path: str) -> None:
    with pytest.raises((Refused, Damaged)):
        SnapshotManifest.parse(tampered(files=[[path, 5, 0, 0]]))


@given(st.text(max_size=40))
def test_every_path_that_is_accepted_stays_inside(path: str) -> None:
    try:
        check_path(path)
    except Refused:
        return
    pure = PurePosixPath(path)
    assert not pure.is_absolute()
    assert ".." not in pure.parts
    assert str(pure) == path


@pytest.mark.parametrize(
    ("files", "sizes"),
    [
        pytest.param([("a", 5, 0, 0)], [4], id="file longer than its chunk"),
        pytest.param([("a", 5, 0, 0)], [6], id="chunk longer than its file"),
        pytest.param([("a", 5, 0, 0)], [], id="no chunk"),
        pytest.param([], [5], id="no file"),
        pytest.param([("a", 5, 1, 0)], [5, 5], id="a chunk is passed over"),
        pytest.param([("a", 5, 0, 0), ("b", 5, 0, 0)], [5], id="one chunk for two files"),
        pytest.param([("a", 5, 0, 0), ("b", 5, 0, 5)], [5, 5], id="begins behind the end"),
        pytest.param([("a", 3, 0, 0), ("b", 4, 0, 2)], [7], id="overlap"),
        pytest.param([("a", 3, 0, 0), ("b", 8, 0, 3)], [7, 4], id="small file spans chunks"),
    ],
)
def test_files_and_chunks_that_contradict(
    files: list[tuple[str, int, int, int]], sizes: list[int]
) -> None:
    with pytest.raises(Damaged):
        SnapshotManifest.parse(manifest(files, sizes).serialize())


@pytest.mark.parametrize(
    "files",
    [
        [("a", 2, 0, 0), ("a", 3, 0, 2)],
        [("a", 2, 0, 0), ("A", 3, 0, 2)],
        [("a", 2, 0, 0), ("a/b", 3, 0, 2)],
        [("a/b/c", 2, 0, 0), ("a/b", 3, 0, 2)],
    ],
)
def test_names_that_collide(files: list[tuple[str, int, int, int]]) -> None:
    with pytest.raises(Refused):
        SnapshotManifest.parse(manifest(files, [5]).serialize())


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"format": "1"},
        {"snapshot_id": "../../x"},
        {"parent": "x"},
        {"database": "../x"},
        {"chroma_version": "latest"},
        {"packs": ["../../../secrets"]},
        {"packs": ["01a1ffa2-4402-7000-91db-41c7ad708d22/../000000"]},
        {"packs": []},
        {"consumed": []},
        {"consumed": {"x": 1}},
        {"files": [["chroma.sqlite3", -5, 0, 0]]},
        {"files": [["chroma.sqlite3", 5, 0]]},
        {"files": [["chroma.sqlite3", 5.0, 0, 0]]},
        {"files": [["chroma.sqlite3", True, 0, 0]]},
        {"chunks": [[CHUNK_BYTES + 1, "0" * 64, [[0, 0, 10]]]]},
        {"chunks": [[5, "0" * 63, [[0, 0, 10]]]]},
        {"chunks": [[5, "0" * 64, [[0, 0, 10**9]]]]},
        {"chunks": [[5, "0" * 64, [[0, -1, 10]]]]},
        {"chunks": [[5, "0" * 64, [[7, 0, 10]]]]},
        {"chunks": [[5, "0" * 64, [[-1, 0, 10]]]]},
        {"chunks": [[5, "0" * 64, []]]},
        {"chunks": [[5, "0" * 64, [[0, 0, 10]] * 9]]},
        {"chunks": "x"},
        {"collections": [{"name": "x"}]},
    ],
    ids=str,
)
def test_tampered_manifests(changes: dict[str, Any]) -> None:
    with pytest.raises((Refused, Damaged)):
        SnapshotManifest.parse(tampered(**changes))


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"format":1}'])
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises((Refused, Damaged)):
        SnapshotManifest.parse(data)
