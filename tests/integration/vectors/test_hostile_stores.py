"""Stores that are damaged or forged, and disks that are full."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from chroma_store.snapshots import codec
from chroma_store.snapshots.manifest import CHUNK_BYTES
from chroma_store.snapshots.packs import pack_key
from chroma_store.snapshots.store import SnapshotStore, TransferLimits
from vector_common.errors import Damaged, NotFound, Refused, StoreError
from vector_common.names import manifest_key, pointer_key

if TYPE_CHECKING:
    from pathlib import Path

    from chroma_store.storage import Storage

from tests.integration.vectors.folders import files, scatter, take


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
    with pytest.raises(NotFound, match="is missing"):
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
        SnapshotStore(store.storage, "db", limits=TransferLimits(max_bytes=10**8)).restore(
            tmp_path / "out"
        )
    after = {path for path in files(tmp_path) if not path.startswith("store/")}
    assert after == {path for path in before if not path.startswith("store/")}


def test_a_full_disk_is_said_before_anything_is_written(
    store: SnapshotStore, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(store, data_dir, None)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(StoreError, match=r"disk is full: .* 1000 are free"):
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
    store = SnapshotStore(storage, "db", limits=TransferLimits(max_bytes=CHUNK_BYTES))
    with pytest.raises(Refused, match="are more than"):
        take(store, data_dir, None)
    assert list(storage.list("databases/")) == []
