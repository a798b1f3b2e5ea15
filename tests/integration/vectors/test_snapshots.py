"""Snapshots of real folders, without a server: what is stored, restored, shared and refused."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from chroma_store import codec, packs
from chroma_store.layout import STAGING
from chroma_store.manifest import CHUNK_BYTES, MAX_LAYERS, Manifest
from chroma_store.packs import pack_key
from chroma_store.pointer import Pointer, PointerMoved
from chroma_store.snapshots import Limits, SnapshotReport, SnapshotStore
from vector_common.errors import Damaged, NotFound, Refused, StoreError
from vector_common.names import manifest_key, pointer_key

if TYPE_CHECKING:
    from pathlib import Path

    from chroma_store.storage import Storage

Files = dict[str, bytes]


@pytest.fixture
def store(storage: Storage) -> SnapshotStore:
    return SnapshotStore(storage, "db", limits=Limits(threads=4))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Like Chroma's: a database of pages, an index, small files."""
    rng = random.Random(1)
    folder = tmp_path / "data"
    (folder / "segment").mkdir(parents=True)
    (folder / "chroma.sqlite3").write_bytes(rng.randbytes(3 * CHUNK_BYTES + 4096))
    (folder / "segment" / "data_level0.bin").write_bytes(rng.randbytes(6 * CHUNK_BYTES))
    (folder / "segment" / "header.bin").write_bytes(rng.randbytes(100))
    (folder / "segment" / "empty.bin").touch()
    return folder


def files(folder: Path) -> Files:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def take(store: SnapshotStore, folder: Path, parent: Pointer | None) -> SnapshotReport:
    return store.snapshot(folder, parent=parent, chroma_version="1.5.9", collections=[])


def scatter(path: Path, seed: int, every: int = 4000) -> None:
    """Change a few bytes all over a file, as Chroma's index does with every insert."""
    rng, data = random.Random(seed), bytearray(path.read_bytes())
    for place in range(rng.randrange(every), len(data) - 8, every):
        data[place : place + 8] = rng.randbytes(8)
    path.write_bytes(data)


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


def test_what_did_not_change_is_not_uploaded_again(
    store: SnapshotStore, data_dir: Path, tmp_path: Path
) -> None:
    first = take(store, data_dir, None)
    second = take(store, data_dir, first.pointer)
    assert (second.chunks_new, second.chunks_reused) == (0, first.chunks_new)
    assert second.bytes_uploaded < 4000
    scatter(data_dir / "segment" / "data_level0.bin", seed=2)
    third = take(store, data_dir, second.pointer)
    assert third.chunks_new == 6
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


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "swapped"])
def test_a_damaged_chunk_is_found_and_leaves_no_file(
    store: SnapshotStore, data_dir: Path, tmp_path: Path, damage: str
) -> None:
    report = take(store, data_dir, None)
    key = pack_key("db", min(report.manifest.packs))
    data = bytearray(store.storage.get(key).data)
    if damage == "gone":
        store.storage.delete([key])
    else:
        middle = len(data) // 2
        if damage == "flipped":
            data[middle] ^= 1
        elif damage == "cut":
            del data[middle:]
        else:
            data[:middle], data[middle:] = data[middle:], data[:middle]
        store.storage.put(key, bytes(data))
    with pytest.raises((Damaged, NotFound)):
        store.verify(report.pointer)
    with pytest.raises((Damaged, NotFound)):
        store.restore(tmp_path / "out")
    assert files(tmp_path / "out") == {}


def test_a_damaged_parent_is_mended_or_the_flip_refused(
    store: SnapshotStore, data_dir: Path, tmp_path: Path
) -> None:
    first = take(store, data_dir, None)
    for pack in first.manifest.packs:
        store.storage.delete([pack_key("db", pack)])
    with pytest.raises(NotFound, match="is gone"):
        take(store, data_dir, first.pointer)
    assert store.head() == first.pointer
    scatter(data_dir / "chroma.sqlite3", seed=8)
    scatter(data_dir / "segment" / "data_level0.bin", seed=8)
    (data_dir / "segment" / "header.bin").write_bytes(b"new")
    second = take(store, data_dir, first.pointer)
    store.verify(second.pointer)
    store.restore(tmp_path / "out")
    assert files(tmp_path / "out") == files(data_dir)


def test_a_manifest_that_was_exchanged_is_noticed(
    store: SnapshotStore, data_dir: Path, tmp_path: Path
) -> None:
    report = take(store, data_dir, None)
    key = manifest_key("db", report.pointer.snapshot_id)
    raw = json.loads(store.storage.get(key).data)
    raw["created_at"] = "yesterday"
    store.storage.put(key, json.dumps(raw).encode())
    with pytest.raises(Damaged, match="not the one that the pointer names"):
        store.restore(tmp_path / "out")


def test_a_snapshot_of_another_database_is_refused(
    store: SnapshotStore, data_dir: Path, tmp_path: Path
) -> None:
    report = take(store, data_dir, None)
    other = SnapshotStore(store.storage, "other")
    key = manifest_key("db", report.pointer.snapshot_id)
    data = store.storage.get(key).data
    store.storage.put(manifest_key("other", report.pointer.snapshot_id), data)
    store.storage.put(pointer_key("other"), store.storage.get(pointer_key("db")).data)
    with pytest.raises(Damaged, match="another snapshot or database"):
        other.restore(tmp_path / "out")


Forge = Callable[[dict[str, Any]], None]


def _absolute(raw: dict[str, Any]) -> None:
    raw["files"][0][0] = "/tmp/owned"


def _upwards(raw: dict[str, Any]) -> None:
    raw["files"][0][0] = "../owned"


def _foreign_pack(raw: dict[str, Any]) -> None:
    raw["packs"] = ["../../../../../../etc/hostname"]


def _one_chunk_thousands_of_times(raw: dict[str, Any]) -> None:
    chunk = [*raw["chunks"][-1]]
    size = chunk[0]
    raw["files"] = [["bomb", size * 3000, 0, 0]]
    raw["chunks"] = [chunk] * 3000


@pytest.mark.parametrize(
    "forge", [_absolute, _upwards, _foreign_pack, _one_chunk_thousands_of_times]
)
def test_a_forged_snapshot_writes_nothing_anywhere(
    store: SnapshotStore, data_dir: Path, tmp_path: Path, forge: Forge
) -> None:
    """The attacker may write to the bucket: pointer and manifest fit each other."""
    report = take(store, data_dir, None)
    raw = json.loads(report.manifest.serialize())
    forge(raw)
    data = json.dumps(raw).encode()
    store.storage.put(manifest_key("db", report.pointer.snapshot_id), data)
    pointer = json.loads(store.storage.get(pointer_key("db")).data)
    pointer["manifest_sha256"] = codec.sha256(data)
    store.storage.put(pointer_key("db"), json.dumps(pointer).encode())
    before = files(tmp_path)
    with pytest.raises((Damaged, Refused)):
        SnapshotStore(store.storage, "db", limits=Limits(max_bytes=10**8)).restore(tmp_path / "out")
    after = {path for path in files(tmp_path) if not path.startswith("store/")}
    assert after == {path for path in before if not path.startswith("store/")}


def test_a_full_disk_is_said_before_anything_is_written(
    store: SnapshotStore, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(store, data_dir, None)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(StoreError, match=r"disk full: .* 1000 free"):
        store.restore(tmp_path / "out")
    assert files(tmp_path / "out") == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_disk_that_fills_up(
    store: SnapshotStore, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(store, data_dir, None)
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("this machine mounts nothing")
    try:
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(StoreError, match="No space left"):
            store.restore(small / "out")
        assert files(small / "out") == {}
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_folder_that_is_too_large_is_refused_before_the_upload(
    storage: Storage, data_dir: Path
) -> None:
    store = SnapshotStore(storage, "db", limits=Limits(max_bytes=CHUNK_BYTES))
    with pytest.raises(Refused, match="are more than"):
        take(store, data_dir, None)
    assert list(storage.list("databases/")) == []


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
    assert isinstance(store.verify(report.pointer), Manifest)
    for bad in ("", "../x", "latest"):
        with pytest.raises(NotFound):
            store.manifest(bad)
