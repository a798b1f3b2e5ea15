"""Deltas through a real Chroma server into snapshots, and back."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from chroma_store.deltas import compaction
from chroma_store.deltas.compaction import compact
from chroma_store.deltas.log import DeltaLog
from chroma_store.server.client import ChromaHttp
from chroma_store.server.process import ChromaProcess, collections
from chroma_store.snapshots.store import PointerMoved, SnapshotStore
from chroma_store.snapshots.versions import running_version
from vector_common.deltas import Delta, encode
from vector_common.errors import Conflict, Damaged, Refused
from vector_common.ids import new_id
from vector_common.names import delta_key
from vector_common.records import parse_records

from tests.integration.vectors.corpus import SPEC, Model, changes, contents, recovered

if TYPE_CHECKING:
    from pathlib import Path

    from chroma_store.storage import Storage


def test_deltas_become_a_snapshot_that_answers_the_same(storage: Storage, tmp_path: Path) -> None:
    log, store, model = DeltaLog(storage, "db"), SnapshotStore(storage, "db"), Model()
    rng = random.Random(1)
    for round_number in range(3):
        for _ in range(2):
            batch = changes(rng, 60)
            log.append(batch, SPEC)
            model.apply(batch)
        assert recovered(store, log, tmp_path / f"before{round_number}") == model.records
        report = compact(storage, "db", tmp_path / "work")
        assert len(report.applied) == report.dropped == 2
        assert report.pointer
        assert report.pointer.generation == round_number + 1
        assert log.pending() == []
        assert recovered(store, log, tmp_path / f"after{round_number}") == model.records
    assert report.pointer
    manifest = store.manifest(report.pointer)
    assert [(c.name, c.count) for c in manifest.collections] == [("receipts", len(model.records))]
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.parametrize("storage", ["file"], indirect=True)
def test_nothing_pending_is_no_work(storage: Storage, tmp_path: Path) -> None:
    report = compact(storage, "db", tmp_path)
    assert (report.pointer, report.snapshot, report.applied) == (None, None, ())
    DeltaLog(storage, "db").append(changes(random.Random(2), 5), SPEC)
    head = compact(storage, "db", tmp_path).pointer
    assert compact(storage, "db", tmp_path).pointer == head


def test_a_delta_that_arrives_late_is_not_passed_over(storage: Storage, tmp_path: Path) -> None:
    """A writer's clock is an hour behind: its id sorts before ids that were consumed."""
    log, store, model = DeltaLog(storage, "db"), SnapshotStore(storage, "db"), Model()
    first, late = changes(random.Random(3), 20), changes(random.Random(4), 20)
    log.append(first, SPEC)
    compact(storage, "db", tmp_path / "work")
    early = new_id(1_700_000_000_000)
    delta = Delta(early, SPEC, parse_records(late, SPEC))
    storage.put(delta_key("db", early), encode(delta))
    assert compact(storage, "db", tmp_path / "work").applied == (early,)
    model.apply(first + late)
    assert recovered(store, log, tmp_path / "after") == model.records


def test_a_write_repeated_after_its_delta_was_dropped_stays_consumed(
    storage: Storage, tmp_path: Path
) -> None:
    log, store, model = DeltaLog(storage, "db"), SnapshotStore(storage, "db"), Model()
    first, second = changes(random.Random(5), 20), changes(random.Random(6), 20)
    delta = log.append(first, SPEC)[0]
    data = storage.get(delta_key("db", delta)).data
    compact(storage, "db", tmp_path / "work")
    log.append(second, SPEC)
    compact(storage, "db", tmp_path / "work")
    storage.put(delta_key("db", delta), data, if_none_match=True)
    model.apply(first + second)
    assert recovered(store, log, tmp_path / "after") == model.records
    assert compact(storage, "db", tmp_path / "work").applied == ()
    assert log.pending() == []


def test_an_idempotency_key_makes_one_delta_of_many_sends(storage: Storage, tmp_path: Path) -> None:
    log, store = DeltaLog(storage, "db"), SnapshotStore(storage, "db")
    batch = changes(random.Random(7), 20)
    first = log.append(batch, SPEC, idempotency_key="order 17")
    assert log.append(batch, SPEC, idempotency_key="order 17") == first
    assert [info.id for info in log.pending()] == first
    with pytest.raises(Conflict, match="another batch"):
        log.append(batch[1:], SPEC, idempotency_key="order 17")
    head = compact(storage, "db", tmp_path / "work").pointer
    assert log.append(batch, SPEC, idempotency_key="order 17") == first
    assert head
    assert log.pending(store.manifest(head).consumed) == []


def test_the_loser_of_two_compactions_keeps_its_deltas(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, store, model = DeltaLog(storage, "db"), SnapshotStore(storage, "db"), Model()
    first, second = changes(random.Random(8), 20), changes(random.Random(9), 20)
    log.append(first, SPEC)
    raced: list[Any] = []

    def race(step: str) -> None:
        if step == "snapshot" and not raced:
            log.append(second, SPEC)
            raced.append(compact(storage, "db", tmp_path / "other"))

    with pytest.raises(PointerMoved, match="its deltas stay"):
        compact(storage, "db", tmp_path / "work", say=race)
    assert store.head() == raced[0].pointer
    model.apply(first + second)
    assert recovered(store, log, tmp_path / "after") == model.records


@pytest.mark.parametrize("storage", ["file"], indirect=True)
def test_a_session_writes_and_the_next_one_finds_it(storage: Storage, tmp_path: Path) -> None:
    """What the supervisor does: restore, replay, serve writes, snapshot with what was replayed."""
    log, store, model = DeltaLog(storage, "db"), SnapshotStore(storage, "db"), Model()
    batch, direct = changes(random.Random(10), 30), changes(random.Random(11), 0)
    log.append(batch, SPEC)
    report = store.restore(tmp_path / "session")
    with ChromaProcess(tmp_path / "session") as server:
        replayed = log.replay(server.base_url, report.consumed)
        http = ChromaHttp(server.base_url)
        direct = [{"id": "direct", "embedding": [1.0, 2.0, 3.0, 4.0]}]
        other = DeltaLog(storage, "scratch")
        other.append(direct, SPEC)
        other.replay(server.base_url)
        holds = http.collections()
    log.append(changes(random.Random(12), 0) or [{"op": "delete", "id": "r1"}], SPEC)
    store.snapshot(
        tmp_path / "session",
        parent=report.pointer,
        chroma_version=running_version(),
        collections=holds,
        consumed=replayed.applied,
    )
    log.drop(replayed.applied)
    model.apply([*batch, *direct, {"op": "delete", "id": "r1"}])
    assert recovered(store, log, tmp_path / "next") == model.records


@pytest.mark.parametrize("storage", ["file"], indirect=True)
def test_replaying_again_changes_nothing(storage: Storage, tmp_path: Path) -> None:
    log, model = DeltaLog(storage, "db"), Model()
    batch = changes(random.Random(13), 200, ids=25)
    for start in range(0, 200, 50):
        log.append(batch[start : start + 50], SPEC)
    model.apply(batch)
    (tmp_path / "data").mkdir()
    with ChromaProcess(tmp_path / "data") as server:
        once = log.replay(server.base_url)
        assert contents(server.base_url) == model.records
        again = log.replay(server.base_url)
        assert contents(server.base_url) == model.records
    assert once.expected == again.expected == {"receipts": len(model.records)}
    assert once.records == 200


def test_a_collection_with_another_dimension_is_refused_before_anything_is_written(
    storage: Storage, tmp_path: Path
) -> None:
    log = DeltaLog(storage, "db")
    log.append(changes(random.Random(14), 5), SPEC)
    other = replace(SPEC, dimension=5)
    with pytest.raises(Conflict, match="4 dimensions"):
        DeltaLog(storage, "db").append([{"id": "x", "embedding": [1] * 5}], other)
    assert len(log.pending()) == 1


@pytest.mark.parametrize("storage", ["file"], indirect=True)
def test_counts_that_do_not_come_out_stop_the_flip(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, store = DeltaLog(storage, "db"), SnapshotStore(storage, "db")
    log.append([{"id": "x", "embedding": [1.0] * 4}], SPEC)

    def forgetful(base_url: str, data_dir: Path) -> Any:
        return [replace(info, count=info.count - 1) for info in collections(base_url, data_dir)]

    monkeypatch.setattr(compaction, "collections", forgetful)
    with pytest.raises(Damaged, match="counts"):
        compact(storage, "db", tmp_path)
    assert store.head() is None
    assert len(log.pending()) == 1


@pytest.mark.parametrize("storage", ["file"], indirect=True)
def test_an_older_chroma_is_migrated_in_a_copy_or_refused(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, store = DeltaLog(storage, "db"), SnapshotStore(storage, "db")
    log.append([{"id": "x", "embedding": [1.0] * 4}], SPEC)
    monkeypatch.setattr(compaction, "running_version", lambda: "1.4.0")
    old = compact(storage, "db", tmp_path).pointer
    assert old
    monkeypatch.undo()
    log.append([{"id": "y", "embedding": [1.0] * 4}], SPEC)
    with pytest.raises(Refused, match="would migrate it"):
        compact(storage, "db", tmp_path)
    assert store.head() == old
    new = compact(storage, "db", tmp_path, migrate=True).pointer
    assert new
    assert store.verify(old.snapshot_id).chroma_version == "1.4.0"
    assert store.verify(new).chroma_version == running_version()
    monkeypatch.setattr(compaction, "running_version", lambda: "1.3.9")
    log.append([{"id": "z", "embedding": [1.0] * 4}], SPEC)
    with pytest.raises(Refused, match="cannot read it"):
        compact(storage, "db", tmp_path, migrate=True)


@pytest.mark.parametrize("storage", ["file"], indirect=True)
def test_the_files_are_whole_after_a_killed_server(storage: Storage, tmp_path: Path) -> None:
    store = SnapshotStore(storage, "db")
    log, model = DeltaLog(storage, "db"), Model()
    batch = changes(random.Random(15), 100)
    log.append(batch, SPEC)
    model.apply(batch)
    (tmp_path / "data").mkdir()
    server = ChromaProcess(tmp_path / "data")
    with server:
        replayed = log.replay(server.base_url)
        holds = collections(server.base_url)
        assert server._process
        server._process.kill()
        server._process.wait()
    store.snapshot(
        tmp_path / "data",
        parent=None,
        chroma_version=running_version(),
        collections=holds,
        consumed=replayed.applied,
    )
    assert recovered(store, log, tmp_path / "after") == model.records
    with sqlite3.connect(tmp_path / "after" / "chroma.sqlite3") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
