from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from chroma_store.snapshots.manifest import Chunk, ChunkLayer, FileEntry, SnapshotManifest
from chroma_store.snapshots.packs import pack_key
from chroma_store.snapshots.pointer import Pointer, PointerMoved, flip_pointer, read_pointer
from chroma_store.snapshots.store import (
    REMEMBER_SECONDS,
    RetentionRule,
    SnapshotStore,
    still_consumed,
)
from chroma_store.snapshots.versions import check_version
from chroma_store.storage import Storage, open_storage
from vector_common.errors import BadRequest, Damaged, NotFound, Refused
from vector_common.ids import new_id
from vector_common.names import delta_key, manifest_key, pointer_key

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(tmp_path.as_uri())


class History:
    """Snapshots of given ages, each with a pack of its own and one of its parent."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.head: Pointer | None = None
        self.former: list[ChunkLayer] = []

    def add(self, days: float, version: str = "1.5.9", *, flip: bool = True) -> str:
        made = datetime.now(UTC) - timedelta(days=days)
        identifier = new_id(int(made.timestamp() * 1000))
        pack = f"{identifier}/000000"
        self.storage.put(pack_key("db", pack), bytes(100))
        layers = [ChunkLayer(pack, 0, 10), *self.former[:1]]
        manifest = SnapshotManifest(
            identifier,
            "db",
            self.head.snapshot_id if self.head else None,
            made.isoformat(),
            version,
            files=tuple(FileEntry(f"f{n}", 5, n, 0) for n in range(len(layers))),
            chunks=tuple(Chunk(5, f"{n:064x}", (layer,)) for n, layer in enumerate(layers)),
        )
        data = manifest.serialize()
        self.storage.put(manifest_key("db", identifier), data)
        if flip:
            self.head = flip_pointer(self.storage, "db", self.head, identifier, "0" * 64)
            self.former = layers
        return identifier


def test_a_rule_keeps_the_last_the_young_and_what_they_need(
    storage: Storage, tmp_path: Path
) -> None:
    history = History(storage)
    ids = [history.add(days) for days in (50, 40, 30, 20, 10, 3, 2)]
    store = SnapshotStore(storage, "db")
    rule = RetentionRule(keep_last=2, keep_days=15, keep_versions=False)
    assert store.retain(rule, dry_run=True).deleted == tuple(ids[:4])
    assert store.ids() == ids
    report = store.retain(rule)
    assert report.deleted == tuple(ids[:4])
    assert store.ids() == list(report.kept) == ids[4:]
    # Only put away: who reads one of them now still finds its packs.
    assert packs(storage) == set(ids)
    assert store.retain(rule).packs == 0
    for path in (tmp_path / "databases/db/retired").iterdir():
        os.utime(path, (0, 0))
    report = store.retain(rule)
    # The oldest kept one needs a pack of its parent, which is gone itself.
    assert packs(storage) == set(ids[3:])
    assert (report.deleted, report.packs, report.bytes) == ((), 3, 300)
    assert list(storage.list("databases/db/retired/")) == []
    for identifier in store.ids():
        store._check_reused(store.manifest(identifier))


def packs(storage: Storage) -> set[str]:
    return {info.key.split("/")[3] for info in storage.list("databases/db/packs/")}


def test_a_rule_that_would_keep_less_than_nothing() -> None:
    for keep_last, keep_days in ((-1, 0), (0, -1)):
        with pytest.raises(BadRequest):
            RetentionRule(keep_last, keep_days)


def test_what_a_snapshot_under_way_has_uploaded_stays(storage: Storage) -> None:
    history = History(storage)
    history.add(9)
    history.add(8)
    orphan, young = new_id(int((datetime.now(UTC).timestamp() - 2 * 86400) * 1000)), new_id()
    for identifier in (orphan, young):
        storage.put(pack_key("db", f"{identifier}/000000"), b"x")
    SnapshotStore(storage, "db").retain(RetentionRule(0, 0, keep_versions=False))
    assert storage.get(pack_key("db", f"{young}/000000"))
    with pytest.raises(NotFound):
        storage.get(pack_key("db", f"{orphan}/000000"))


def test_the_newest_snapshot_of_every_chroma_is_kept(storage: Storage) -> None:
    history = History(storage)
    ids = [
        history.add(d, v) for d, v in ((50, "1.4.1"), (40, "1.4.2"), (30, "1.5.1"), (9, "1.5.9"))
    ]
    SnapshotStore(storage, "db").retain(RetentionRule(keep_last=0, keep_days=1))
    assert SnapshotStore(storage, "db").ids() == [ids[1], ids[3]]


def test_a_loser_goes_and_the_current_one_stays_however_old(storage: Storage) -> None:
    history = History(storage)
    head = history.add(50)
    history.add(40, flip=False)
    SnapshotStore(storage, "db").retain(RetentionRule(0, 0, keep_versions=False))
    assert SnapshotStore(storage, "db").ids() == [head]


def test_nothing_goes_while_a_manifest_cannot_be_read(storage: Storage) -> None:
    history = History(storage)
    ids = [history.add(days) for days in (50, 40, 30)]
    storage.put(manifest_key("db", ids[1]), b"{}")
    with pytest.raises(Refused):
        SnapshotStore(storage, "db").retain(RetentionRule(0, 0))
    assert SnapshotStore(storage, "db").ids() == ids


def test_a_pointer_without_its_manifest_stops_everything(storage: Storage) -> None:
    history = History(storage)
    ids = [history.add(days) for days in (50, 40)]
    storage.delete([manifest_key("db", ids[1])])
    with pytest.raises(Damaged):
        SnapshotStore(storage, "db").retain(RetentionRule(0, 0))


def test_consumed_deltas_are_remembered_for_a_day_and_while_they_are_there(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, present, recent, new = (new_id() for _ in range(4))
    storage.put(delta_key("db", present), b"x")
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)
    past = 1_000_000 - REMEMBER_SECONDS - 1
    former = SnapshotManifest(
        new_id(), "db", None, "", "1.5.9", consumed={old: past, present: past, recent: 999_999}
    )
    found = still_consumed(storage, "db", former, [new])
    assert found == {present: past, recent: 999_999, new: 1_000_000}


def test_the_pointer_moves_only_from_where_it_was_seen(storage: Storage) -> None:
    assert read_pointer(storage, "db") is None
    one, two, three = (new_id() for _ in range(3))
    first = flip_pointer(storage, "db", None, one, "1" * 64)
    with pytest.raises(PointerMoved, match="another writer"):
        flip_pointer(storage, "db", None, two, "2" * 64)
    second = flip_pointer(storage, "db", first, two, "2" * 64)
    assert read_pointer(storage, "db") == second
    assert second.generation == 2
    with pytest.raises(PointerMoved):
        flip_pointer(storage, "db", first, three, "3" * 64)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"format": 2}',
        b'{"format": 1, "snapshot_id": "../x", "manifest_sha256": "0", "generation": 1}',
        b'{"format": 1, "snapshot_id": null, "manifest_sha256": null, "generation": "x"}',
    ],
)
def test_what_is_no_pointer(storage: Storage, data: bytes) -> None:
    storage.put(pointer_key("db"), data)
    with pytest.raises((Damaged, Refused)):
        read_pointer(storage, "db")


@pytest.mark.parametrize(
    ("snapshot", "running", "migrate", "fits"),
    [
        ("1.5.9", "1.5.9", False, True),
        ("1.5.2", "1.5.9", False, True),
        ("1.5.10", "1.5.9", False, True),
        ("1.4.9", "1.5.0", False, False),
        ("1.4.9", "1.5.0", True, True),
        ("1.10.0", "1.9.0", True, False),
        ("2.0.0", "1.9.0", True, False),
        ("0.6.3", "1.5.9", True, True),
    ],
)
def test_which_chroma_may_open_what(snapshot: str, running: str, migrate: bool, fits: bool) -> None:
    def check() -> Any:
        check_version(snapshot, running, migrate=migrate)

    if fits:
        check()
        return
    with pytest.raises(Refused):
        check()
