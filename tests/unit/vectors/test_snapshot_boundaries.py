"""Each limit of snapshots, one step inside and one step outside."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from chroma_store.snapshots import codec, packs, restoring, store, uploading
from chroma_store.snapshots import manifest as manifests
from chroma_store.snapshots.checks import check_names, check_path, integer, text
from chroma_store.snapshots.layout import STAGING, Piece, read_pieces, scan
from chroma_store.snapshots.manifest import (
    CHUNK_BYTES,
    MAX_LAYERS,
    MAX_LISTED,
    Chunk,
    ChunkLayer,
    CollectionInfo,
    SnapshotManifest,
)
from chroma_store.snapshots.packs import PACK_BYTES, PackWriter, fetch
from chroma_store.snapshots.pointer import begin_pointer, flip_pointer
from chroma_store.snapshots.store import SnapshotStore
from chroma_store.storage import Storage, TransferLimits
from vector_common.errors import (
    Conflict,
    Damaged,
    NotFound,
    Refused,
    StoreError,
)
from vector_common.ids import new_id
from vector_common.names import base, consumed_key, consumed_prefix, manifest_key, pointer_key
from vector_common.records import CollectionSpec

SPEC = CollectionSpec("things", 2, "l2")
CHANGE = {"op": "upsert", "id": "a", "embedding": [1.0, 2.0]}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "chroma.sqlite3").write_bytes(random.Random(1).randbytes(10_000))
    return folder


def take(snapshots: SnapshotStore, folder: Path, parent: Any = None) -> Any:
    return snapshots.snapshot(folder, parent=parent, chroma_version="1.5.9", collections=())


# Packs.


def test_a_pack_is_cut_when_it_is_full(storage: Storage) -> None:
    writer = PackWriter(storage, "db", "one")
    writer.add([bytes(PACK_BYTES - 1)])
    assert writer.uploaded == 0
    [last] = writer.add([b"x"])
    assert last == ChunkLayer("one/000000", PACK_BYTES - 1, 1)
    assert writer.uploaded == PACK_BYTES
    assert writer.add([b"next"]) == [ChunkLayer("one/000001", 0, 4)]
    writer.flush()
    writer.flush()
    assert writer.uploaded == PACK_BYTES + 4
    assert PACK_BYTES == 8 * 1024 * 1024


class Counting:
    """A storage that remembers the ranges it is asked for."""

    def __init__(self) -> None:
        self.ranges: list[tuple[str, int, int]] = []

    def get_range(self, key: str, start: int, length: int) -> bytes:
        self.ranges.append((key.rpartition("/")[2], start, length))
        return bytes((start + i) % 251 for i in range(length))


@pytest.mark.parametrize(
    ("gap", "requests"), [(0, 1), (1, 1), (256 * 1024, 1), (256 * 1024 + 1, 2)]
)
def test_neighbours_are_one_request_up_to_a_gap(gap: int, requests: int) -> None:
    counting: Any = Counting()
    layers = (ChunkLayer("s/1", 5, 10), ChunkLayer("s/1", 15 + gap, 10))
    found = fetch(counting, "db", [Chunk(1, "", layers)])
    assert len(counting.ranges) == requests
    for layer in layers:
        assert bytes(found[layer]) == bytes((layer.offset + i) % 251 for i in range(10))


def test_other_packs_and_overlaps_are_requests_of_their_own() -> None:
    counting: Any = Counting()
    layers = (ChunkLayer("s/1", 0, 10), ChunkLayer("s/2", 10, 10), ChunkLayer("s/2", 12, 10))
    fetch(counting, "db", [Chunk(1, "", layers)])
    assert counting.ranges == [("1", 0, 10), ("2", 10, 10), ("2", 12, 10)]
    assert fetch(counting, "db", []) == {}


# Frames.


@pytest.mark.parametrize("size", [1, CHUNK_BYTES])
def test_a_frame_may_have_one_byte_to_a_chunk(size: int) -> None:
    data = bytes(size)
    frame = codec.compress(data)
    assert codec.decompress([frame], size, codec.sha256(data), what="t") == data


@pytest.mark.parametrize("size", [0, CHUNK_BYTES + 1])
def test_a_frame_outside_of_that_is_refused(size: int) -> None:
    data = bytes(size)
    with pytest.raises(Damaged, match=f"declares {size} bytes"):
        codec.decompress([codec.compress(data)], size, codec.sha256(data), what="t")


def test_size_and_checksum_are_both_compared() -> None:
    frame = codec.compress(b"abc")
    with pytest.raises(Damaged, match="checksum"):
        codec.decompress([frame], 4, codec.sha256(b"abc"), what="t")
    with pytest.raises(Damaged, match="checksum"):
        codec.decompress([frame], 3, codec.sha256(b"abd"), what="t")


# Patches.


def patched(first: int, patches: int) -> tuple[bytes, bytes, Chunk]:
    """New content, the former one, and a chunk whose frames are so long."""
    former = random.Random(3).randbytes(20_000)
    data = b"changed!" + former[8:]
    layers = [ChunkLayer("s/1", 0, first)]
    if patches:
        layers.append(ChunkLayer("s/1", first, patches))
    return data, former, Chunk(len(former), codec.sha256(former), tuple(layers))


@pytest.mark.parametrize(("more", "is_patch"), [(0, True), (1, False)])
@pytest.mark.parametrize("earlier", [0, 500])
def test_patches_take_at_most_half_of_the_whole_frame(
    more: int, is_patch: bool, earlier: int
) -> None:
    data, former, _ = patched(1, 0)
    length = len(codec.compress_patch(data, former))
    _, _, chunk = patched(2 * (length + earlier - more), earlier)
    assert uploading._compress(data, chunk, {chunk: former})[1] is is_patch


def test_without_its_former_content_a_chunk_is_stored_whole() -> None:
    data, _, chunk = patched(10**6, 0)
    assert uploading._compress(data, chunk, {}) == (codec.compress(data), False)
    assert uploading._compress(data, None, {}) == (codec.compress(data), False)


@pytest.mark.parametrize(("layers", "again"), [(MAX_LAYERS - 1, True), (MAX_LAYERS, False)])
def test_a_chunk_has_at_most_eight_layers(data_dir: Path, layers: int, again: bool) -> None:
    layout = scan(data_dir)
    frames = tuple(ChunkLayer("s/1", n, 1) for n in range(layers))
    chunk = Chunk(10_000, "0" * 64, frames)
    former = SnapshotManifest(
        new_id(), "db", None, "now", "1.5.9", files=layout.files, chunks=(chunk,)
    )
    source = uploading.UploadSource(data_dir, layout, former)
    assert source.before(layout.pieces[0]) == (chunk if again else None)
    assert source.same(10_000, "0" * 64) == chunk
    assert source.same(9_999, "0" * 64) is None
    assert source.before((Piece("other", 0, 1, 0),)) is None
    assert MAX_LAYERS == 8


# Folders.


def test_a_file_of_a_chunk_or_more_begins_one(tmp_path: Path) -> None:
    sizes = {"a": 0, "b": CHUNK_BYTES - 1, "c": 1, "d": 1, "e": CHUNK_BYTES, "f": CHUNK_BYTES + 1}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    layout = scan(tmp_path)
    places = {entry.path: (entry.chunk, entry.offset) for entry in layout.files}
    assert places == {
        "a": (0, 0),
        "b": (0, 0),
        "c": (0, CHUNK_BYTES - 1),
        "d": (1, 0),
        "e": (2, 0),
        "f": (3, 0),
    }
    assert [sum(piece.length for piece in pieces) for pieces in layout.pieces] == [
        CHUNK_BYTES,
        1,
        CHUNK_BYTES,
        CHUNK_BYTES,
        1,
    ]


def test_a_file_that_became_shorter_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    assert read_pieces(tmp_path, (Piece("f", 1, 4, 0),)) == b"2345"
    with pytest.raises(Refused, match="changed while"):
        read_pieces(tmp_path, (Piece("f", 1, 5, 0),))
    with pytest.raises(Refused, match="cannot be read"):
        read_pieces(tmp_path, (Piece("g", 0, 1, 0),))


def test_an_unfinished_restore_is_no_data(data_dir: Path) -> None:
    (data_dir / STAGING).mkdir()
    with pytest.raises(Refused, match="unfinished"):
        scan(data_dir)


# Names and numbers of manifests.


def test_paths_up_to_their_limits() -> None:
    assert check_path("a" * 255)
    assert check_path("/".join(["a" * 255] * 4)[:1023])
    longest = "/".join(["a" * 250] * 4) + "/" + "b" * 20
    assert len(longest) == 1024
    assert check_path(longest)
    for bad in ("a" * 256, longest + "b", "ä" * 128, "", "a//b", "a/.", "..", "a\\b", "a\nb"):
        with pytest.raises(Refused):
            check_path(bad)


def test_names_are_unlike_without_case_and_no_file_is_a_folder() -> None:
    check_names(["a/b", "a/c", "ab"])
    with pytest.raises(Refused, match="one name"):
        check_names(["A", "a"])
    with pytest.raises(Refused, match="a file and a folder"):
        check_names(["a", "A/b/c"])


def test_numbers_and_texts_up_to_their_limits() -> None:
    assert [integer(0), integer(2**53), integer(3, 3, 3)] == [0, 2**53, 3]
    for bad in (-1, 2**53 + 1, True, 1.0, "1"):
        with pytest.raises(ValueError, match="integer"):
            integer(bad)
    assert text("x" * 1024)
    for raw in ("x" * 1025, 1, None):
        with pytest.raises(ValueError, match="text"):
            text(raw)


# Snapshots.


def test_a_snapshot_may_have_exactly_the_limit(storage: Storage, data_dir: Path) -> None:
    take(SnapshotStore(storage, "db", limits=TransferLimits(max_bytes=10_000)), data_dir)
    with pytest.raises(Refused, match="10000 bytes"):
        take(SnapshotStore(storage, "no", limits=TransferLimits(max_bytes=9_999)), data_dir)
    assert (TransferLimits().threads, TransferLimits().max_bytes) == (8, 200 * 1024**3)


def test_a_restore_may_have_exactly_the_limit(
    storage: Storage, data_dir: Path, tmp_path: Path
) -> None:
    take(SnapshotStore(storage, "db"), data_dir)
    small = SnapshotStore(storage, "db", limits=TransferLimits(max_bytes=9_999))
    with pytest.raises(Refused, match="10000 bytes"):
        small.restore(tmp_path / "small")
    fits = SnapshotStore(storage, "db", limits=TransferLimits(max_bytes=10_000))
    assert fits.restore(tmp_path / "out").bytes == 10_000
    with pytest.raises(Refused, match="already has files"):
        fits.restore(tmp_path / "out")


@pytest.mark.parametrize("free", [10_000, 9_999])
def test_a_restore_may_fill_the_disk(
    storage: Storage, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    snapshots = SnapshotStore(storage, "db")
    take(snapshots, data_dir)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    if free >= 10_000:
        snapshots.restore(tmp_path / "out")
    else:
        with pytest.raises(StoreError, match="full"):
            snapshots.restore(tmp_path / "out")


def test_a_killed_restore_is_cleared_and_made_again(
    storage: Storage, data_dir: Path, tmp_path: Path
) -> None:
    snapshots = SnapshotStore(storage, "db")
    take(snapshots, data_dir)
    out = tmp_path / "out"
    (out / STAGING).mkdir(parents=True)
    (out / "folder").mkdir()
    (out / "folder" / "half").write_bytes(b"x")
    snapshots.restore(out)
    assert [path.name for path in out.iterdir()] == ["chroma.sqlite3"]
    assert restoring._DATABASE_FILE == "chroma.sqlite3"


@pytest.mark.parametrize("late", [-1.0, 1.0])
def test_a_snapshot_that_took_half_of_the_grace_is_not_made_current(
    storage: Storage, data_dir: Path, monkeypatch: pytest.MonkeyPatch, late: float
) -> None:
    assert store.MAX_SNAPSHOT_SECONDS == 12 * 3600
    snapshots = SnapshotStore(storage, "db")
    begun = time.monotonic()
    genuine = snapshots._publish

    def publish(manifest: Any, parent: Any, started: float) -> Any:
        assert started >= begun
        return genuine(manifest, parent, started - store.MAX_SNAPSHOT_SECONDS - late)

    monkeypatch.setattr(snapshots, "_publish", publish)
    if late < 0:
        assert take(snapshots, data_dir).pointer == snapshots.head()
    else:
        with pytest.raises(Refused, match="too long"):
            take(snapshots, data_dir)
        assert snapshots.head() is None


def test_a_database_that_nobody_wrote_has_no_current_snapshot(storage: Storage) -> None:
    assert SnapshotStore(storage, "new").head() is None


def test_a_pack_of_the_parent_must_be_there_and_long_enough(
    storage: Storage, data_dir: Path
) -> None:
    snapshots = SnapshotStore(storage, "db")
    first = take(snapshots, data_dir)
    [pack] = first.manifest.packs
    key = packs.pack_key("db", pack)
    data = storage.get(key).data
    storage.put(key, data[:-1])
    with pytest.raises(NotFound, match="missing or too short"):
        take(snapshots, data_dir, first.pointer)
    storage.put(key, data)
    second = take(snapshots, data_dir, first.pointer)
    assert second.manifest.packs == {pack}
    assert second.bytes_total == 10_000
    assert second.pointer.generation == 2
    with pytest.raises(Conflict, match="another writer"):
        take(snapshots, data_dir, first.pointer)


def test_a_manifest_must_be_that_of_the_pointer(storage: Storage, data_dir: Path) -> None:
    snapshots = SnapshotStore(storage, "db")
    taken = take(snapshots, data_dir)
    assert snapshots.manifest(taken.pointer) == snapshots.manifest(taken.pointer.snapshot_id)
    assert snapshots.ids() == [taken.pointer.snapshot_id]
    with pytest.raises(NotFound, match="is not an id"):
        snapshots.manifest("../x")
    other = SnapshotStore(storage, "other")
    key = f"snapshots/{taken.pointer.snapshot_id}.json"
    storage.put(f"{base('other')}/{key}", storage.get(f"{base('db')}/{key}").data)
    with pytest.raises(Damaged, match="another snapshot or database"):
        other.manifest(taken.pointer.snapshot_id)


def test_a_manifest_does_not_grow_with_what_was_consumed(
    storage: Storage, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty compactions within a day, each of 100 deltas, of which the last are not dropped yet."""
    snapshots, pointer, sizes = SnapshotStore(storage, "db"), None, []
    consumed: list[str] = []
    for _ in range(60):
        new = [new_id() for _ in range(100)]
        consumed += new
        report = snapshots.snapshot(
            data_dir, parent=pointer, chroma_version="1.5.9", collections=(), consumed=new
        )
        pointer = report.pointer
        sizes.append(len(storage.get(manifest_key("db", pointer.snapshot_id)).data))
    assert max(sizes) < 20_000
    assert sizes[-1] < sizes[0]
    # None of them is ever pending again, whoever reads: by pointer, by id, or after a promotion.
    assert pointer
    assert snapshots.manifest(pointer) == report.manifest
    assert snapshots.manifest(pointer.snapshot_id).consumed.keys() == set(consumed)
    head = snapshots.promote(pointer.snapshot_id)
    assert snapshots.manifest(head).consumed.keys() == set(consumed)
    # A day later they are forgotten, and the manifest lists the few of its own again.
    later = time.time() + store.REMEMBER_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    report = snapshots.snapshot(
        data_dir, parent=head, chroma_version="1.5.9", collections=(), consumed=new[:1]
    )
    assert list(snapshots.manifest(report.pointer).consumed) == new[:1]
    assert report.manifest.consumed_sha256 is None


def many(snapshots: SnapshotStore, folder: Path, parent: Any = None) -> Any:
    return snapshots.snapshot(
        folder,
        parent=parent,
        chroma_version="1.5.9",
        collections=(),
        consumed=[new_id() for _ in range(MAX_LISTED + 1)],
    )


@pytest.mark.parametrize("data", [None, b"{}", b"[", b'{"x": 1}', b"[]"])
def test_a_list_of_consumed_deltas_that_is_not_the_one(
    storage: Storage, data_dir: Path, data: bytes | None
) -> None:
    """Nothing is taken for pending that may have been applied."""
    snapshots = SnapshotStore(storage, "db")
    report = many(snapshots, data_dir)
    key = consumed_key("db", report.pointer.snapshot_id)
    storage.delete([key])
    if data is not None:
        storage.put(key, data)
    with pytest.raises((Damaged, NotFound), match="consumed"):
        snapshots.restore(data_dir.with_name("restored"))
    trusted = replace(report.manifest, consumed_sha256=hashlib.sha256(data or b"").hexdigest())
    if data not in {None, b"{}"}:
        with pytest.raises(Damaged, match="consumed"):
            trusted.with_consumed(data or b"")


def test_a_list_of_consumed_deltas_may_be_as_large_as_a_manifest(
    storage: Storage, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = many(SnapshotStore(storage, "db"), data_dir)
    data = storage.get(consumed_key("db", report.pointer.snapshot_id)).data
    monkeypatch.setattr(manifests, "MAX_MANIFEST_BYTES", len(data))
    assert len(report.manifest.with_consumed(data).consumed) == MAX_LISTED + 1
    monkeypatch.setattr(manifests, "MAX_MANIFEST_BYTES", len(data) - 1)
    with pytest.raises(Refused, match="bytes are more than"):
        report.manifest.with_consumed(data)


def test_killed_between_the_list_and_the_manifest(
    storage: Storage, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deltas are pending as before, and retention deletes the list after a day."""
    snapshots = SnapshotStore(storage, "db")
    first = many(snapshots, data_dir)

    def killed(*_: Any, **__: Any) -> bytes:
        raise KeyboardInterrupt

    put = storage.put
    with monkeypatch.context() as patch:
        patch.setattr(
            storage, "put", lambda key, *a, **k: killed() if "/snap" in key else put(key, *a, **k)
        )
        with pytest.raises(KeyboardInterrupt):
            many(snapshots, data_dir, first.pointer)
    assert snapshots.head() == first.pointer
    assert snapshots.manifest(first.pointer) == first.manifest
    second = many(snapshots, data_dir, first.pointer)

    def lists() -> set[str]:
        return {info.key for info in storage.list(consumed_prefix("db"))}

    needed = {consumed_key("db", r.pointer.snapshot_id) for r in (first, second)}
    assert len(lists()) == 3
    snapshots.retain()
    assert len(lists()) == 3
    monkeypatch.setattr(store, "GRACE", timedelta(0))
    snapshots.retain()
    assert lists() == needed
    assert snapshots.manifest(second.pointer).consumed.keys() > first.manifest.consumed.keys()


@pytest.mark.parametrize(
    ("field", "value"), [("snapshot_id", "../other"), ("manifest_sha256", "short")]
)
def test_a_pointer_names_a_snapshot_and_a_digest(
    storage: Storage, data_dir: Path, field: str, value: str
) -> None:
    snapshots = SnapshotStore(storage, "db")
    take(snapshots, data_dir)
    said = json.loads(storage.get(pointer_key("db")).data)
    storage.put(pointer_key("db"), json.dumps({**said, field: value}).encode())
    with pytest.raises(Damaged, match="does not name a snapshot"):
        snapshots.head()


def test_who_was_first_is_said_by_what_there_was_before(storage: Storage, data_dir: Path) -> None:
    snapshots = SnapshotStore(storage, "db")
    etag = begin_pointer(storage, "db")
    first = take(snapshots, data_dir)
    with pytest.raises(Conflict, match=f"since {first.manifest.snapshot_id}"):
        flip_pointer(storage, "db", replace(first.pointer, etag=etag), new_id(), "a" * 64)


def test_a_folder_goes_with_all_that_is_in_it_and_a_link_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "link").symlink_to(elsewhere)
    restoring._remove(folder / "link")
    restoring._remove(folder)
    assert not folder.exists()
    assert (elsewhere / "kept").is_file()


def test_chromas_database_is_moved_up_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before it, the folder has none, and Chroma makes no new one beside old indexes."""
    staging = tmp_path / STAGING
    staging.mkdir()
    for name in ("chroma.sqlite3", "0a", "zz"):
        (staging / name).touch()
    moved: list[str] = []
    rename = Path.rename

    def noted(path: Path, target: Path) -> Path:
        moved.append(path.name)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", noted)
    restoring._move_up(staging, tmp_path)
    assert moved[-1] == "chroma.sqlite3"
    assert len(moved) == 3


def test_a_snapshot_of_one_kind_or_another_is_restored(
    storage: Storage, data_dir: Path, tmp_path: Path
) -> None:
    snapshots = SnapshotStore(storage, "db")
    first = take(snapshots, data_dir)
    (data_dir / "more").write_bytes(b"more")
    delta = new_id()
    held = [CollectionInfo("b", 2, 0), CollectionInfo("a", 2, 0)]
    second = snapshots.snapshot(
        data_dir, parent=first.pointer, chroma_version="1.5.9", collections=held, consumed=[delta]
    )
    assert [one.name for one in second.manifest.collections] == ["a", "b"]
    assert (first.manifest.counted, second.manifest.counted) == (True, True)
    unknown = snapshots.snapshot(
        data_dir, parent=second.pointer, chroma_version="1.5.9", collections=None
    )
    assert not unknown.manifest.counted
    for name, wanted in (
        ("newest", None),
        ("first", first.manifest.snapshot_id),
        ("current", unknown.manifest.snapshot_id),
    ):
        found = snapshots.restore(tmp_path / name, snapshot_id=wanted, chroma_version="1.5.9")
        assert found.pointer == snapshots.head()
        assert found.manifest
        assert found.manifest.snapshot_id == (wanted or unknown.manifest.snapshot_id)
        assert (tmp_path / name / "more").exists() is (name != "first")
        assert found.consumed == ({delta} if name != "first" else frozenset())
    empty = SnapshotStore(storage, "new").restore(tmp_path / "empty", chroma_version="1.5.9")
    assert (empty.pointer, empty.manifest, empty.consumed) == (None, None, frozenset())
    with pytest.raises(Refused):
        snapshots.restore(tmp_path / "old", chroma_version="1.4.0")


def test_snapshots_without_a_pointer_are_damage(storage: Storage, data_dir: Path) -> None:
    snapshots = SnapshotStore(storage, "db")
    taken = take(snapshots, data_dir)
    storage.delete([pointer_key("db")])
    with pytest.raises(Damaged, match=f"the newest of them {taken.manifest.snapshot_id}"):
        snapshots.head()
