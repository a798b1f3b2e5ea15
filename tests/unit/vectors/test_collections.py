"""Collections out of a server: into Parquet and back, and into an index of S3 Vectors."""

from __future__ import annotations

import array
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import ClientError
from chroma_store.deltas import parquet, rebuild
from chroma_store.deltas.log import DeltaLog
from chroma_store.deltas.quarantine import SetAside
from chroma_store.stores import dump, feed, index, migrate, proof
from chroma_store.stores.dump import CollectionDump, Record
from chroma_store.stores.index import VectorIndex, misfit
from vector_common.errors import BadRequest, Conflict, Damaged, NotFound
from vector_common.names import export_prefix
from vector_common.records import CollectionSpec, EmbeddingModel, model_metadata
from vector_common.stores.s3vectors import RECORD

from tests.unit.vectors.fake_chroma import FakeChroma

if TYPE_CHECKING:
    from pathlib import Path

    from chroma_store.storage import Storage

L2 = {"configuration": {"hnsw": {"space": "l2"}}}
ROWS = {"b": [1.0, 2.0], "a": [3.0, -4.0], "c": [0.0, 0.0]}


@pytest.fixture
def chroma(monkeypatch: pytest.MonkeyPatch) -> FakeChroma:
    made = FakeChroma()
    for module in (parquet, dump):
        monkeypatch.setattr(module, "ChromaHttp", lambda _: made.http)
    return made


def exported(name: str, path: Path) -> tuple[int, list[str]]:
    return parquet.export_collection("http://chroma", name, path)


def test_a_collection_goes_to_a_file_and_comes_back(
    chroma: FakeChroma, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_PAGE", 2)
    model = EmbeddingModel("titan", "2")
    metadatas = {"a": {"k": 1, "gone": None}, "b": {"gone": None}}
    chroma.put("col", ROWS, metadatas=metadatas, metadata=model_metadata(model), **L2)
    path = tmp_path / "c.parquet"
    assert exported("col", path) == (3, [])
    assert [one.name for one in tmp_path.iterdir() if one.suffix == ".partial"] == []
    table = pq.read_table(path)
    assert table.column("metadata").to_pylist()[2] is None
    file = pq.ParquetFile(path)
    spec = parquet._spec(file, "col", None)
    assert (spec.dimension, spec.space, spec.model) == (2, "l2", model)
    assert parquet._spec(file, "col", "ip").space == "ip"
    sent: list[Any] = []
    monkeypatch.setattr(DeltaLog, "append", lambda _, rows, spec: sent.append((rows, spec)))
    assert parquet.import_collection(DeltaLog(storage, "db"), "col", path) == 3
    rows = [row for batch, _ in sent for row in batch]
    assert len(sent) == 2
    assert [row["id"] for row in rows] == ["b", "a", "c"]
    assert [row["metadata"] for row in rows] == [None, {"k": 1}, None]


def test_what_deltas_may_not_hold_is_said(chroma: FakeChroma, tmp_path: Path) -> None:
    chroma.put("col", ROWS)
    written, (problem,) = exported("col", tmp_path / "c.parquet")
    assert written == 3
    assert problem.startswith("record 'c': ")
    assert "records[0]" not in problem


def test_an_export_of_what_changes_or_is_not_there_leaves_no_file(
    chroma: FakeChroma, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chroma.put("col", ROWS, **L2)
    with pytest.raises(NotFound):
        exported("other", tmp_path / "d.parquet")
    monkeypatch.setattr(chroma.http, "count", lambda _: 4)
    with pytest.raises(Conflict, match="changed while it was exported"):
        exported("col", tmp_path / "c.parquet")
    assert [*tmp_path.iterdir()] == []


def test_a_file_needs_its_columns_a_dimension_and_a_space(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    log = DeltaLog(storage, "db")

    def written(**columns: Any) -> int:
        pq.write_table(pa.table(columns), path)
        return parquet.import_collection(log, "col", path)

    assert written(id=["a"], embedding=[[1.0, 2.0]]) == 1
    none = pa.array([], pa.list_(pa.float32()))
    assert written(id=pa.array([], pa.string()), embedding=none) == 0
    with pytest.raises(BadRequest, match="has no column embedding"):
        written(id=["a"])
    with pytest.raises(BadRequest, match="metadata is not JSON"):
        written(id=["a"], embedding=[[1.0]], metadata=["{"])
    with pytest.raises(BadRequest, match="0 dimensions"):
        written(id=["a"], embedding=[[]])
    with pytest.raises(BadRequest, match="in space 'l9' make no collection"):
        parquet.import_collection(log, "col", path, space="l9")
    path.write_bytes(b"no")
    with pytest.raises(BadRequest, match="is not a Parquet file"):
        parquet.import_collection(log, "col", path)


def test_documents_are_embedded_where_every_record_has_one(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.parquet"
    told: list[Any] = []
    log = DeltaLog(storage, "db")
    monkeypatch.setattr(parquet, "check_texts", lambda rows, _: (rows, "spec", None))
    monkeypatch.setattr(parquet, "with_vectors", lambda rows, wanted: (rows, wanted))
    monkeypatch.setattr(DeltaLog, "check", lambda *_: told.append("check"))
    monkeypatch.setattr(DeltaLog, "append", lambda _, rows, wanted: told.append((rows, wanted)))
    pq.write_table(pa.table({"id": ["a"], "document": ["text"]}), path)
    assert parquet.import_collection(log, "col", path, embed=True, space="ip") == 1
    assert told[0] == "check"
    rows, wanted = told[1]
    assert (rows[0]["text"], wanted) == ("text", {"name": "col", "space": "ip"})
    pq.write_table(pa.table({"id": ["a"], "document": [""]}), path)
    with pytest.raises(BadRequest, match="record a: has no document to embed"):
        parquet.import_collection(log, "col", path, embed=True)
    pq.write_table(pa.table({"id": ["a"]}), path)
    with pytest.raises(BadRequest, match="has no column document"):
        parquet.import_collection(log, "col", path, embed=True)


def dumped(chroma: FakeChroma, folder: Path) -> CollectionDump:
    (found,) = dump.dump("http://chroma", folder)
    return found


def test_a_dump_is_sorted_and_knows_its_largest_number(
    chroma: FakeChroma, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump, "_PAGE", 2)
    chroma.put("c", ROWS, metadatas={"a": {"k": 1}}, **L2)
    found = dumped(chroma, tmp_path / "dump")
    assert (found.name, found.dimension, found.space, found.count) == ("c", 2, "l2", 3)
    assert (found.largest, found.scale) == (4.0, 2.0**13)
    rows = [(one.id, [*one.vector], one.metadata) for one in found.records()]
    assert rows == [("a", [3.0, -4.0], {"k": 1}), ("b", [1.0, 2.0], {}), ("c", [0.0, 0.0], {})]
    found.write_half(tmp_path / "half")
    assert (tmp_path / "half").stat().st_size == 3 * 2 * 2
    chroma.put("c", {}).clear()
    chroma.collections.clear()
    chroma.put("none", {})
    none = dumped(chroma, tmp_path / "none")
    assert (none.count, none.dimension, none.scale) == (0, 0, 1.0)


FILLING = index.MAX_FILTERABLE_BYTES - len('{"k": ""}')
"""Characters of the one key of a record that an index just takes."""


def record(**metadata: Any) -> Record:
    return Record("r", array.array("f", [1.0, 0.0]), metadata, None)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (record(**{f"k{n}": n for n in range(index.MAX_KEYS - 1)}), None),
        (record(**{f"k{n}": n for n in range(index.MAX_KEYS)}), "has 50 metadata keys"),
        (record(**{RECORD: "x"}), "which is reserved"),
        (record(k=2**53), None),
        (record(k=-(2**53) - 1), "integer beyond"),
        (record(k=2.0**60, t="x"), None),
        (record(k="x" * FILLING), None),
        (record(k="x" * (FILLING + 1)), "bytes of metadata, S3"),
        (Record("r", array.array("f", [1.0]), {}, "x" * 40_000), None),
        (Record("r", array.array("f", [1.0]), {}, "x" * 41_000), "of metadata and document"),
        (Record("r", array.array("f", [0.0, 0.0]), {}, None), "is all zeros"),
    ],
)
def test_what_an_index_does_not_take(one: Record, reason: str | None) -> None:
    found = misfit(one, "cosine")
    assert found == reason if reason is None else reason in str(found)


def test_zeros_have_a_place_in_l2_and_the_whole_counts_to_its_last_byte() -> None:
    assert misfit(Record("r", array.array("f", [0.0]), {}, None), "l2") is None
    bare = index._bytes({}) + len(index._whole(Record("r", array.array("f", [1.0]), {}, "")))
    for more, fits in ((0, True), (1, False)):
        text = "x" * (index.MAX_METADATA_BYTES - bare + more)
        assert (misfit(Record("r", array.array("f", [1.0]), {}, text), "l2") is None) is fits


@pytest.mark.parametrize(
    ("space", "dimension", "said"),
    [("cosine", 4096, ""), ("l2", 4097, "has 4097 dimensions"), ("ip", 2, "no inner product")],
)
def test_a_collection_may_have_no_index(
    space: Any, dimension: int, said: str, tmp_path: Path
) -> None:
    source = CollectionDump("c", dimension, space, 1, tmp_path, tmp_path, 1.0)
    found = index.unfit(source)
    assert found is None if not said else said in str(found)


class Vectors:
    """An index of S3 Vectors in memory; ``refusals`` are raised, one a call."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}
        self.calls: list[str] = []
        self.refusals: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(**said: Any) -> Any:
            self.calls.append(name)
            if self.refusals:
                code = self.refusals.pop(0)
                raise ClientError({"Error": {"Code": code, "Message": "no"}}, name)
            return getattr(type(self), f"on_{name}", lambda *_, **__: {})(self, **said)

        return call

    def on_put_vectors(self, vectors: list[dict[str, Any]], **_: Any) -> None:
        self.held |= {one["key"]: one for one in vectors}

    def on_delete_vectors(self, keys: list[str], **_: Any) -> None:
        for key in keys:
            del self.held[key]

    def on_list_vectors(self, nextToken: str = "0", **_: Any) -> dict[str, Any]:  # noqa: N803
        keys = sorted(self.held)
        at = int(nextToken)
        more = {"nextToken": str(at + 1)} if at + 1 < len(keys) else {}
        return {"vectors": [self.held[key] for key in keys[at : at + 1]], **more}


@pytest.fixture
def vectors(monkeypatch: pytest.MonkeyPatch) -> Vectors:
    made = Vectors()
    monkeypatch.setattr(index, "s3vectors_client", lambda: made)
    return made


def test_only_what_changed_is_written_and_what_is_gone_is_deleted(
    chroma: FakeChroma, vectors: Vectors, tmp_path: Path
) -> None:
    chroma.put("c", ROWS, metadatas={"a": {"n": 1, "f": 1.5, "s": "x", "l": [1]}})
    source, made = dumped(chroma, tmp_path / "one"), VectorIndex("bucket", "i")
    content = made.feed(source, {})
    assert [*vectors.held] == ["a", "b"]
    assert content.left_out == ("c: record 'c': is all zeros, which S3 Vectors refuses for cosine",)
    assert (content.integers, content.floats) == (("n",), ("f",))
    assert set(vectors.held["a"]["metadata"]) == {"n", "f", "s", RECORD}
    assert [one["key"] for one in made.vectors(metadata=True)] == ["a", "b"]
    vectors.calls.clear()
    assert made.feed(source, content.digests) == content
    assert vectors.calls == []
    del chroma.collections["c"]["records"]["a"]
    again = made.feed(dumped(chroma, tmp_path / "two"), content.digests)
    assert vectors.calls == ["delete_vectors"]
    assert again.digests == {"b": content.digests["b"]}
    assert index.unpack(index.pack(content.digests)) == content.digests
    with pytest.raises(Damaged):
        index.unpack(b"no")


@pytest.mark.parametrize(
    ("call", "code", "answer"),
    [("create", "ConflictException", None), ("exists", "NotFoundException", False),
     ("drop", "NotFoundException", None)],
)  # fmt: skip
def test_what_is_so_already_is_no_failure_of_an_index(
    call: str, code: str, answer: object, vectors: Vectors
) -> None:
    one = VectorIndex("bucket", "i")
    words = (2, "l2") if call == "create" else ()
    vectors.refusals = [code]
    assert getattr(one, call)(*words) is answer
    vectors.refusals = ["ValidationException"]
    with pytest.raises(Exception, match="index i of bucket"):
        getattr(one, call)(*words)
    assert getattr(one, call)(*words) is (True if call == "exists" else None)


def test_batches_end_at_a_number_and_at_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"data": {"float32": [1.0]}, "metadata": {}} for _ in range(5)]

    def sizes() -> list[int]:
        return [len(batch) for batch in index._batches(rows)]

    assert sizes() == [5]
    monkeypatch.setattr(index, "_PUT", 2)
    assert sizes() == [2, 2, 1]
    monkeypatch.setattr(index, "_PUT", 500)
    monkeypatch.setattr(index, "_PUT_BYTES", 66)
    assert sizes() == [3, 2]
    monkeypatch.setattr(index, "_PUT_BYTES", 1)
    assert sizes() == [1] * 5
    assert [*index._batches([])] == []


def test_a_store_is_compared_record_by_record(chroma: FakeChroma, tmp_path: Path) -> None:
    chroma.put("c", ROWS, metadatas={"a": {"k": 1}})
    source = dumped(chroma, tmp_path / "dump")
    equal: dict[str, Any] = {"a": ({"k": 1}, None), "b": ({}, None)}
    assert proof._compare(source, equal, "s3vectors") == (1, [])
    assert proof._compare(source, equal, "file") == (0, ["record 'c' is missing"])
    other = {"a": ({"k": True}, None), "c": ({}, "text"), "d": ({}, None)}
    assert proof._compare(source, other, "s3vectors") == (
        0,
        [
            "record 'a' has other metadata or another document",
            "record 'b' is missing",
            "record 'c' has other metadata or another document",
            "record 'd' is too much",
        ],
    )


@pytest.mark.parametrize(("recall", "holds"), [(0.9, True), (0.89, False), (1.0, True)])
def test_a_store_holds_where_nothing_differs_and_enough_is_found(
    recall: float, holds: bool
) -> None:
    assert proof.Equality("c", 1, 0, (), recall).holds is holds
    assert not proof.Equality("c", 1, 0, ("a is missing",), recall).holds


@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
def test_distances_are_exact_in_every_space(space: str) -> None:
    import numpy as np

    rows = [[3.0, 4.0], [0.0, 0.0], [0.1, 0.0]]
    found = proof._distances(np, np.array(rows, dtype="<f4"), np.array([1.0, 2.0]), space)
    lengths = [5.0 * math.sqrt(5), 1.0, 0.1 * math.sqrt(5)]
    dots = [11.0, 0.0, 0.1]
    expected = {
        "l2": [8.0, 5.0, 0.81 + 4],
        "ip": [1 - dot for dot in dots],
        "cosine": [1 - dot / length for dot, length in zip(dots, lengths, strict=True)],
    }[space]
    assert [*found] == pytest.approx(expected, abs=1e-6)


def kept(storage: Storage) -> int:
    return sum(1 for _ in storage.list(export_prefix("db")))


def test_a_store_of_files_holds_what_the_snapshots_hold(
    chroma: FakeChroma, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chroma.put("col", ROWS, **L2)
    told: list[str] = []
    one = feed.Feed(storage, "db", {"file": ""}, told.append)
    assert (one.behind(None), one.behind("s1")) == (False, True)
    one.read("http://chroma", tmp_path / "a")
    one.publish("s1", tmp_path)
    assert told == ["read", "feed file"]
    assert (one.behind("s1"), one.behind("s2")) == (False, True)
    assert one.stores["file"].collections["col"].count == 3
    assert (kept(storage), feed.verify(storage, "db")) == (2, 2)
    [proven] = proof.prove(one, "file", tmp_path)
    assert (proven.records, proven.holds) == (3, True)
    monkeypatch.setattr(feed, "MAX_FILE_BYTES", 2 * 2 * 3)
    again = feed.Feed(storage, "db", {"file": ""})
    again.dumps = one.dumps
    again.publish("s2", tmp_path)
    assert again.stores["file"].left_out_count == 0
    monkeypatch.setattr(feed, "MAX_FILE_BYTES", 2 * 2 * 3 - 1)
    again.publish("s3", tmp_path)
    fed = again.stores["file"]
    assert (fed.left_out_count, [*fed.collections]) == (3, [])
    assert proof.prove(again, "file", tmp_path) == []
    assert "its vectors take 12 bytes as a file" in fed.left_out[0]
    assert kept(storage) == 2  # for those who read what was there before
    again.publish("s4", tmp_path)
    assert kept(storage) == 0
    again.drop("s3vectors")
    again.drop("file")
    assert again._state.stores == {}
    idle = feed.Feed(storage, "db")
    idle.read("http://chroma", tmp_path / "a")
    assert (idle.dumps, idle.behind("s5")) == ([], False)


def test_an_index_is_fed_what_changed_unless_it_is_not_trusted(
    chroma: FakeChroma, vectors: Vectors, storage: Storage, tmp_path: Path
) -> None:
    chroma.put("col", ROWS)
    chroma.put("dot", ROWS, configuration={"hnsw": {"space": "ip"}})
    chroma.put("none", {})
    for bucket in ({"s3vectors": ""}, {"s3vectors": "", "file": ""}):
        with pytest.raises(BadRequest, match="needs the name of a vector bucket"):
            feed.Feed(storage, "db", bucket)  # type: ignore[arg-type]
    vectors.refusals = ["NotFoundException"]
    one = feed.Feed(storage, "db", {"s3vectors": "bucket"})
    one.read("http://chroma", tmp_path / "a")
    one.publish("s1", tmp_path)
    fed = one.stores["s3vectors"]
    assert (sorted(fed.collections), fed.left_out_count) == (["col", "none"], 4)
    assert "calculates no inner product" in fed.left_out[0]
    assert "list_vectors" not in vectors.calls
    assert [*vectors.held] == ["a", "b"]
    with pytest.raises(Conflict, match="is fed to the vector bucket bucket, not to other"):
        feed.Feed(storage, "db", {"s3vectors": "other"})
    vectors.calls.clear()
    again = feed.Feed(storage, "db", {"s3vectors": "bucket"})
    again.dumps = one.dumps
    again.publish("s2", tmp_path)
    assert vectors.calls == ["get_index", "create_index"]
    again.distrust("file")
    again.distrust("s3vectors")
    assert again.behind("s2")
    vectors.calls.clear()
    again.publish("s3", tmp_path)
    assert vectors.calls.count("list_vectors") == 2
    assert vectors.calls.count("put_vectors") == 1
    assert not again.behind("s3")
    vectors.calls.clear()
    again.drop("s3vectors")
    assert vectors.calls == ["delete_index"]
    assert kept(storage) == 0


def test_what_a_migration_leaves_out_is_counted(
    chroma: FakeChroma, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chroma.put("col", ROWS)
    source = dumped(chroma, tmp_path / "dump")
    in_file, in_session = migrate._line(source, "file"), migrate._line(source, "session")
    assert (in_file.left_out_count, in_session.left_out_count) == (0, 0)
    (reason,) = migrate._line(source, "s3vectors").left_out
    assert reason.startswith("record 'c': is all zeros")
    monkeypatch.setattr(migrate, "MAX_FILE_BYTES", 12)
    assert migrate._line(source, "file").left_out_count == 0
    monkeypatch.setattr(migrate, "MAX_FILE_BYTES", 11)
    assert migrate._line(source, "file").left_out_count == 3
    assert migrate._line(source, "session").left_out_count == 0
    dot = migrate._line(replace(source, space="ip"), "s3vectors")
    assert (dot.left_out_count, len(dot.left_out)) == (3, 1)
    assert migrate._proven(in_file, None) is in_file
    proven = migrate._proven(in_file, proof.Equality("col", 3, 0, ("x",), 0.95))
    assert (proven.held, proven.recall, proven.differences) == (3, 0.95, ("x",))


def test_a_collection_is_changed_on_the_server(chroma: FakeChroma, storage: Storage) -> None:
    def changed(name: str, space: Any = None, former: str | None = None) -> Any:
        return rebuild._change(chroma.http, rebuild.Wish(name, space, former), storage, "db")

    rows = {name: ROWS[name] for name in "ab"}
    made = chroma.put("col", rows)
    assert changed("col", "l2") == (2, CollectionSpec("col", 2, "l2"))
    again = chroma.collections["col"]
    assert again["id"] != made["id"]
    assert changed("col", "l2") == (2, CollectionSpec("col", 2, "l2"))
    assert chroma.collections["col"]["id"] != again["id"]
    empty = chroma.put("empty", {})
    assert changed("empty", "cosine") == (0, None)
    assert chroma.collections["empty"] is empty
    assert changed("empty", "l2") == (0, None)
    assert chroma.collections["empty"] is not empty
    with pytest.raises(Conflict, match="collection empty: still exists"):
        changed("col", "l2", "empty")
    assert changed("col") == (2, None)
    assert [*chroma.collections] == ["empty"]
    for space in (None, "l2"):
        with pytest.raises(NotFound, match="collection col: is not in the database"):
            changed("col", space)


def test_nothing_of_a_file_is_written_where_a_later_record_is_refused(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_PAGE", 1)
    appended: list[Any] = []
    monkeypatch.setattr(DeltaLog, "append", lambda _, rows, __: appended.append(rows))
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"id": ["a", ""], "embedding": [[1.0, 2.0], [1.0, 2.0]]}), path)
    with pytest.raises(BadRequest):
        parquet.import_collection(DeltaLog(storage, "db"), "col", path)
    assert appended == []


def test_what_was_set_aside_is_told_in_one_line() -> None:
    aside = SetAside("d1", "col", 2, ("too long", "too late"), b"")
    assert aside.summary == "delta d1: 2 changes of collection col set aside: too long"
    unread = SetAside("d1", None, None, ("not JSON",), b"")
    assert unread.summary == "delta d1: an unreadable delta set aside: not JSON"
