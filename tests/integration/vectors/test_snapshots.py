"""Snapshots of real folders, without a server: what is stored, restored, shared and refused."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from chroma_store.snapshots import packs
from chroma_store.snapshots.layout import STAGING
from chroma_store.snapshots.manifest import CHUNK_BYTES, MAX_LAYERS, SnapshotManifest
from chroma_store.snapshots.pointer import PointerMoved
from vector_common.errors import NotFound, Refused

if TYPE_CHECKING:
    from pathlib import Path

    from chroma_store.snapshots.store import SnapshotReport, SnapshotStore


from tests.integration.vectors.folders import Files, files, scatter, take


def test_a_folder_comes_back_as_it_was(
    store: SnapshotStore, data_dir: Path, tmp_path: Path
) -> None:
    report = take(store, data_dir, None)
    restored = store.restore(tmp_path / "a" / "b")
    assert files(tmp_path / "a" / "b") == files(data_dir)
    assert restored.bytes == report.bytes_total == sum(map(len, files(data_dir).values()))
    assert restored.pointer == report.pointer == store.head()


def test_a_database_without_a_snapshot_starts_empty(store: SnapshotStore, tmp_path: Path) -> None:
    report = store.restore(tmp_path / "data")
    assert (report.pointer, report.manifest, report.bytes) == (None, None, 0)
    assert list((tmp_path / "data").iterdir()) == []


def uploaded(report: SnapshotReport) -> int:
    """How many chunks a snapshot uploaded, whole or as patches."""
    own = report.manifest.snapshot_id
    return sum(chunk.layers[-1].pack.startswith(own) for chunk in report.manifest.chunks)


def test_what_did_not_change_is_not_uploaded_again(
    store: SnapshotStore, data_dir: Path, tmp_path: Path
) -> None:
    first = take(store, data_dir, None)
    second = take(store, data_dir, first.pointer)
    assert (uploaded(second), len(second.manifest.chunks)) == (0, uploaded(first))
    assert second.bytes_uploaded < 4000
    scatter(data_dir / "segment" / "data_level0.bin", seed=2)
    third = take(store, data_dir, second.pointer)
    assert uploaded(third) == 6
    assert third.bytes_uploaded < first.bytes_uploaded * 0.05
    store.restore(tmp_path / "out")
    assert files(tmp_path / "out") == files(data_dir)


def test_a_long_line_of_snapshots_stays_restorable_and_bounded(
    store: SnapshotStore, data_dir: Path, tmp_path: Path
) -> None:
    report = take(store, data_dir, None)
    whole = report.manifest.stored_bytes
    expected: dict[str, Files] = {}
    for generation in range(12):
        scatter(data_dir / "chroma.sqlite3", seed=generation, every=300 if generation % 3 else 3000)
        report = take(store, data_dir, report.pointer)
        expected[report.pointer.snapshot_id] = files(data_dir)
        assert all(len(chunk.layers) <= MAX_LAYERS for chunk in report.manifest.chunks)
        assert report.manifest.stored_bytes < whole * 1.55
    assert report.pointer.generation == 13
    for number, (snapshot, content) in enumerate(expected.items()):
        store.restore(tmp_path / str(number), snapshot)
        assert files(tmp_path / str(number)) == content


def test_files_that_appear_and_go(store: SnapshotStore, data_dir: Path, tmp_path: Path) -> None:
    first = take(store, data_dir, None)
    shutil.rmtree(data_dir / "segment")
    (data_dir / "new").mkdir()
    (data_dir / "new" / "data_level0.bin").write_bytes(b"x")
    take(store, data_dir, first.pointer)
    store.restore(tmp_path / "out")
    assert files(tmp_path / "out") == files(data_dir)


def test_the_slower_of_two_writers_loses_and_changes_nothing(
    store: SnapshotStore, data_dir: Path, tmp_path: Path
) -> None:
    first = take(store, data_dir, None)
    with pytest.raises(PointerMoved):
        take(store, data_dir, None)
    scatter(data_dir / "chroma.sqlite3", seed=3)
    second = take(store, data_dir, first.pointer)
    content = files(data_dir)
    scatter(data_dir / "chroma.sqlite3", seed=4)
    with pytest.raises(PointerMoved, match="deltas stay"):
        take(store, data_dir, first.pointer)
    assert store.head() == second.pointer
    store.restore(tmp_path / "out")
    assert files(tmp_path / "out") == content


def test_an_older_snapshot_is_made_current_again(
    store: SnapshotStore, data_dir: Path, tmp_path: Path
) -> None:
    first, content = take(store, data_dir, None), files(data_dir)
    scatter(data_dir / "chroma.sqlite3", seed=5)
    take(store, data_dir, first.pointer)
    promoted = store.promote(first.pointer.snapshot_id)
    assert promoted.generation == 3
    store.restore(tmp_path / "out")
    assert files(tmp_path / "out") == content
    scatter(data_dir / "chroma.sqlite3", seed=6)
    assert take(store, data_dir, promoted).pointer.generation == 4


def test_a_folder_that_changes_while_it_is_read_is_refused(
    store: SnapshotStore, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = store.storage.put

    def write_meanwhile(key: str, data: bytes, **conditions: Any) -> str:
        scatter(data_dir / "chroma.sqlite3", seed=7)
        return put(key, data, **conditions)

    monkeypatch.setattr(store.storage, "put", write_meanwhile)
    with pytest.raises(Refused, match="stop the server first"):
        take(store, data_dir, None)
    assert store.head() is None


def test_a_restore_never_writes_over_files(store: SnapshotStore, data_dir: Path) -> None:
    take(store, data_dir, None)
    before = files(data_dir)
    with pytest.raises(Refused, match="empty folder"):
        store.restore(data_dir)
    assert files(data_dir) == before


def test_what_a_killed_restore_left_is_cleared(
    store: SnapshotStore, data_dir: Path, tmp_path: Path
) -> None:
    take(store, data_dir, None)
    out = tmp_path / "out"
    (out / STAGING / "segment").mkdir(parents=True)
    (out / STAGING / "segment" / "half").write_bytes(b"x")
    (out / "segment").mkdir()
    (out / "segment" / "moved").write_bytes(b"x")
    (out / "link").symlink_to(data_dir)
    store.restore(out)
    assert files(out) == files(data_dir)
    assert data_dir.exists()


def test_requests_stay_few(
    store: SnapshotStore, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten mebibytes: two packs, not ten objects; patches are read with few ranges."""
    report = take(store, data_dir, None)
    assert len(report.manifest.packs) <= 2
    scatter(data_dir / "segment" / "data_level0.bin", seed=9)
    take(store, data_dir, report.pointer)
    ranges: list[str] = []
    get_range = store.storage.get_range

    def count(key: str, start: int, length: int) -> bytes:
        ranges.append(key)
        return get_range(key, start, length)

    monkeypatch.setattr(store.storage, "get_range", count)
    store.restore(tmp_path / "out")
    assert len(ranges) <= 9
    assert packs.PACK_BYTES > CHUNK_BYTES


def test_a_manifest_survives_the_store(store: SnapshotStore, data_dir: Path) -> None:
    report = take(store, data_dir, None)
    assert store.manifest(report.pointer) == report.manifest
    assert store.ids() == [report.pointer.snapshot_id]
    assert isinstance(store.verify(report.pointer), SnapshotManifest)
    for bad in ("", "../x", "latest"):
        with pytest.raises(NotFound):
            store.manifest(bad)
