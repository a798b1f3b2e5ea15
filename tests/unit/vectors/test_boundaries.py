"""Each limit of the store, one step inside and one step outside."""

from __future__ import annotations

import random
import shutil
import time
from array import array
from typing import TYPE_CHECKING, Any

import pytest
from chroma_store.deltas import replay
from chroma_store.deltas.compaction import check_counts
from chroma_store.deltas.log import DeltaLog
from chroma_store.periodic import Periodic
from chroma_store.server import client
from chroma_store.server.client import ChromaHttp
from chroma_store.snapshots import codec, packs, restoring, store, uploading, versions
from chroma_store.snapshots.checks import check_names, check_path, integer, text
from chroma_store.snapshots.layout import STAGING, Piece, read_pieces, scan
from chroma_store.snapshots.manifest import (
    CHUNK_BYTES,
    MAX_LAYERS,
    Chunk,
    ChunkLayer,
    CollectionInfo,
    SnapshotManifest,
)
from chroma_store.snapshots.packs import PACK_BYTES, PackWriter, fetch
from chroma_store.snapshots.store import SnapshotStore
from chroma_store.storage import Storage, TransferLimits, open_storage
from vector_common.deltas import Delta
from vector_common.errors import (
    BadRequest,
    Conflict,
    Damaged,
    NotFound,
    PayloadTooLarge,
    Refused,
    StoreError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from vector_common.ids import new_id
from vector_common.names import base, delta_key, delta_prefix
from vector_common.records import CollectionSpec, VectorRecord

if TYPE_CHECKING:
    from pathlib import Path

SPEC = CollectionSpec("things", 2, "l2")
CHANGE = {"op": "upsert", "id": "a", "embedding": [1.0, 2.0]}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage((tmp_path / "store").as_uri())


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


# Deltas.


class Recorder:
    """A server that remembers what is done to it, with some records there already."""

    def __init__(self, there: dict[str, tuple[set[str], bool]] | None = None) -> None:
        self.there = there or {}
        self.calls: list[tuple[str, list[str]]] = []
        self.metadatas: list[Any] = []

    def ensure(self, spec: CollectionSpec) -> str:
        return spec.name

    def count(self, _: str) -> int:
        return len(self.there)

    def parts(self, _: str, ids: list[str]) -> dict[str, tuple[set[str], bool]]:
        self.calls.append(("parts", list(ids)))
        return {i: self.there[i] for i in ids if i in self.there}

    def delete(self, _: str, ids: list[str]) -> None:
        self.calls.append(("delete", list(ids)))

    def upsert(self, _: str, records: list[VectorRecord], metadatas: list[Any]) -> None:
        self.calls.append(("upsert", [record.id for record in records]))
        self.metadatas += metadatas

    def update(self, _: str, records: list[VectorRecord]) -> None:
        self.calls.append(("update", [record.id for record in records]))


def changes(*ops: tuple[str, str]) -> list[VectorRecord]:
    return [VectorRecord(op, i, None, {"k": 1}, None) for op, i in ops]  # type: ignore[arg-type]


def test_records_go_in_batches_of_a_thousand() -> None:
    server: Any = Recorder()
    net = changes(*(("upsert", f"{n}") for n in range(2001)))
    assert replay.apply(server, "c", net) == 2001
    assert [len(ids) for what, ids in server.calls if what == "upsert"] == [1000, 1000, 1]


def test_only_what_is_there_is_removed_or_merged() -> None:
    server: Any = Recorder({"old": ({"gone"}, False), "doc": ({"gone"}, True)})
    net = changes(
        ("delete", "old"), ("delete", "none"), ("update", "new"), ("upsert", "doc"), ("upsert", "x")
    )
    assert replay.apply(server, "c", net) == 0
    assert server.calls[1:] == [("delete", ["old", "doc"]), ("upsert", ["doc", "x"])]
    assert server.metadatas == [{"k": 1}, {"k": 1}]


def test_former_metadata_is_taken_away_by_nulls() -> None:
    server: Any = Recorder({"a": ({"gone", "k"}, False)})
    assert replay.apply(server, "c", changes(("upsert", "a"))) == 0
    assert server.metadatas == [{"gone": None, "k": 1}]
    server.metadatas.clear()
    replay.apply(server, "c", [VectorRecord("upsert", "new", None, None, None)])
    assert server.metadatas == [None]


def test_an_update_of_nothing_is_not_sent() -> None:
    server: Any = Recorder({"a": (set(), False)})
    assert replay.apply(server, "c", [VectorRecord("update", "a", None, None, None)]) == 0
    assert [what for what, _ in server.calls] == ["parts"]
    assert replay.apply(server, "c", changes(("update", "a"))) == 0
    assert server.calls[-1] == ("update", ["a"])


@pytest.mark.parametrize(("first", "windows"), [(4999, 1), (5000, 2)])
def test_changes_are_folded_five_thousand_at_a_time(first: int, windows: int) -> None:
    server: Any = Recorder()
    deltas = [
        Delta(new_id(), SPEC, changes(*[("upsert", "a")] * first)),
        Delta(new_id(), SPEC, changes(("upsert", "a"))),
    ]
    progress = replay.Progress()
    replay.apply_deltas(server, deltas, progress)
    assert len([1 for what, _ in server.calls if what == "upsert"]) == windows
    assert progress.records == first + 1


def test_the_log_lists_reads_and_drops(storage: Storage) -> None:
    log = DeltaLog(storage, "db")
    [one], [two] = log.append([CHANGE], SPEC), log.append([CHANGE], SPEC)
    assert [info.id for info in log.pending()] == [one, two]
    assert [info.id for info in log.pending({one})] == [two]
    assert log.read(one).id == one
    assert log.drop([]) == 0
    assert log.drop([one, new_id()]) == 1
    assert [info.id for info in log.pending()] == [two]
    with pytest.raises(NotFound):
        log.read(one)
    storage.put(f"{delta_prefix('db')}stray", b"")
    with pytest.raises(Damaged, match="is not a delta"):
        log.pending()


def test_a_refused_delta_is_named(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    log = DeltaLog(storage, "db")
    [one] = log.append([CHANGE], SPEC)

    def refuse(*_: object) -> None:
        raise BadRequest("no")

    monkeypatch.setattr("chroma_store.deltas.log.apply_deltas", refuse)
    with pytest.raises(Conflict, match=one):
        log.replay("http://127.0.0.1:1")
    assert storage.get(delta_key("db", one)).data


def test_counts_must_come_out() -> None:
    holds = [CollectionInfo("a", 2, 1), CollectionInfo("b", 2, 0)]
    check_counts(holds, {"a": 1}, what="t")
    check_counts(holds, {"a": 1, "b": 0}, what="t", complete=True)
    for expected, complete in (({"a": 2}, False), ({"a": 1}, True), ({"c": 0}, False)):
        with pytest.raises(Damaged, match="t says"):
            check_counts(holds, expected, what="t", complete=complete)


# The server.


class Answer:
    def __init__(self, status: int, data: bytes = b"{}") -> None:
        self.status = status
        self.data = data


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (401, Unauthorized),
        (403, Unauthorized),
        (404, NotFound),
        (409, Conflict),
        (413, PayloadTooLarge),
        (422, BadRequest),
        (429, TooManyRequests),
        (418, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_every_status_has_its_error(
    status: int, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ChromaHttp("http://127.0.0.1:1")
    monkeypatch.setattr(server._http, "request", lambda *_, **__: Answer(status, b"why"))
    with pytest.raises(kind, match=f"{status} for GET /x: why") as raised:
        server._call("GET", "/x")
    assert type(raised.value) is kind


def test_what_is_below_four_hundred_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ChromaHttp("http://127.0.0.1:1")
    monkeypatch.setattr(server._http, "request", lambda *_, **__: Answer(399, b'{"a": 1}'))
    assert server._call("GET", "/x") == {"a": 1}
    assert client._PAGE == 500


def test_an_update_sends_the_parts_that_the_records_have(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ChromaHttp("http://127.0.0.1:1")
    sent: list[Any] = []
    monkeypatch.setattr(server, "_call", lambda *call: sent.append(call[2]))
    server.update("c", [VectorRecord("update", "a", array("f", [1.0]), None, "text")])
    server.update("c", [VectorRecord("update", "a", None, {"k": 1}, None)])
    assert sent == [
        {"ids": ["a"], "embeddings": ["AACAPw=="], "documents": ["text"]},
        {"ids": ["a"], "metadatas": [{"k": 1}]},
    ]


@pytest.mark.parametrize(("count", "pages"), [(499, 1), (500, 2), (501, 2)])
def test_collections_are_listed_five_hundred_at_a_time(
    monkeypatch: pytest.MonkeyPatch, count: int, pages: int
) -> None:
    server = ChromaHttp("http://127.0.0.1:1")
    asked: list[str] = []

    def call(_: str, path: str, body: object = None) -> Any:
        assert body is None
        if path.endswith("/count"):
            return 7
        asked.append(path)
        query = dict(part.split("=") for part in path.partition("?")[2].split("&"))
        start = int(query["offset"])
        numbers = range(start, min(count, start + int(query["limit"])))
        return [{"id": str(n), "name": f"c{n}", "dimension": 2} for n in numbers]

    monkeypatch.setattr(server, "_call", call)
    assert len(server.collections()) == count
    assert len(asked) == pages


def test_the_version_is_that_of_the_image_if_it_states_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHROMA_VERSION", "9.8.7")
    assert versions.running_version() == "9.8.7"
    monkeypatch.setenv("CHROMA_VERSION", "")
    assert versions.running_version() == "1.5.9"


def test_an_answer_is_quoted_up_to_five_hundred_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ChromaHttp("http://127.0.0.1:1")
    monkeypatch.setattr(server._http, "request", lambda *_, **__: Answer(500, b"x" * 501))
    with pytest.raises(Unavailable) as raised:
        server._call("GET", "/y")
    assert str(raised.value).count("x") == 500


def test_what_is_dropped_is_remembered_for_a_day(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.REMEMBER_SECONDS == 86_400
    monkeypatch.setattr(time, "time", lambda: 200_000)
    young, old, there = new_id(), new_id(), new_id()
    storage.put(delta_key("db", there), b"x")
    consumed = {young: 200_000 - 86_399, old: 200_000 - 86_400, there: 1}
    former = SnapshotManifest(new_id(), "db", None, "now", "1.5.9", consumed=consumed)
    kept = store.still_consumed(storage, "db", former, ["new"])
    assert kept == {young: 200_000 - 86_399, there: 1, "new": 200_000}


def test_a_call_is_repeated_until_it_says_no() -> None:
    calls: list[None] = []

    def call() -> bool:
        calls.append(None)
        return len(calls) < 3

    periodic = Periodic(call, 0.001, "test")
    periodic.start()
    periodic._thread.join(10)
    assert len(calls) == 3
    periodic.stop()


def test_a_call_is_not_repeated_once_it_was_stopped() -> None:
    calls: list[None] = []

    def call() -> bool:
        calls.append(None)
        return True

    periodic = Periodic(call, 600, "test")
    periodic.start()
    periodic.stop()
    assert not periodic._thread.is_alive()
    assert len(calls) <= 1
