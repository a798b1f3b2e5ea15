"""One database in a session, in files and in S3 Vectors: the same answers, whatever happens."""

from __future__ import annotations

import array
import importlib.util
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from chroma_store.deltas.compaction import compact
from chroma_store.deltas.log import DeltaLog
from chroma_store.server.process import ChromaProcess
from chroma_store.snapshots.store import SnapshotStore
from chroma_store.stores.feed import Feed
from chroma_store.stores.index import VectorIndex
from chroma_store.stores.proof import prove
from layersmith.stacks import destroy
from vector_common import chroma, stores
from vector_common.errors import BadRequest, Conflict, Damaged, NotFound
from vector_common.names import export_key, export_prefix, index_prefix
from vector_common.records import CollectionSpec
from vector_common.storage import open_storage
from vector_common.stores import open_store, s3vectors
from vector_common.stores.file import FileStore
from vector_common.stores.s3vectors import S3VectorsStore
from vector_common.stores.session import SessionStore
from vector_common.stores.state import is_behind, read_stores

from tests.integration.vectors.corpus import SPEC, changes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chroma_store.storage import Storage
    from vector_common.stores import VectorStore

LAMBDAS = Path(__file__).parents[3] / "lambdas"
DIMENSION = 8
SPACES = ("cosine", "l2", "ip")
VALUES = [1, 1.0, 2, -3, True, False, "1", "x", ""]
WHERES: list[dict[str, Any]] = [
    *({"x": value} for value in VALUES),
    *({"x": {operator: value}} for operator in ("$eq", "$ne") for value in VALUES),
    *({"x": {operator: 1}} for operator in ("$gt", "$gte", "$lt", "$lte")),
    *({"z": {operator: 2.5}} for operator in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")),
    *({"x": {operator: [1, 2]}} for operator in ("$in", "$nin")),
    {"x": {"$in": [True]}},
    {"x": {"$nin": ["x", "1"]}},
    {"nowhere": {"$ne": 1}},
    {"nowhere": 1},
    {"$and": [{"x": {"$ne": 1}}, {"$or": [{"y": 1}, {"y": {"$gt": 3.5}}]}]},
    {"$or": [{"$and": [{"x": 2}, {"y": {"$nin": [4]}}]}, {"x": "x"}]},
]
FRACTIONS: list[dict[str, Any]] = [
    {"x": {operator: [value] if operator in {"$in", "$nin"} else value}}
    for operator in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin")
    for value in (2.5, -2.5, 0.5, -0.5)
]
"""Chroma compares their whole part with integers: `2.5` finds 2."""
REFUSED: list[Any] = [
    {"x": 1, "y": 1},
    {"$and": [{"x": 1}]},
    {"$or": []},
    {"x": {"$gt": "0"}},
    {"x": {"$gt": True}},
    {"x": {"$gt": 0, "$lt": 2}},
    {"x": {"$in": []}},
    {"x": {"$in": [1, "1"]}},
    {"x": None},
    {"x": [1]},
    {"x": {"$regex": "1"}},
    {"$not": {"x": 1}},
    {"x": 2**63},
    {"x": float("nan")},
]


@pytest.fixture(scope="module")
def bucket(s3_url: str) -> Iterator[str]:
    """A vector bucket, and the client of functions pointed at it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": s3_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "eu-west-1",
        }.items():
            patch.setenv(name, value)
        s3vectors.s3vectors_client().create_vector_bucket(vectorBucketName="vectors")
        yield "vectors"
    s3vectors.s3vectors_client.cache_clear()


def records(space: str, count: int = 120) -> list[dict[str, Any]]:
    rng = random.Random(space)
    made = []
    for number in range(count):
        metadata = {"x": rng.choice([*VALUES, 2.5])} if number % 7 else {}
        metadata |= {"z": rng.choice([1.5, 2.5, 3.0])} if number % 5 else {}
        metadata |= {"y": number % 5} if number % 3 else {}
        record = {
            "id": f"r{number}é",
            "embedding": [rng.gauss(0, 1) for _ in range(DIMENSION)],
            "metadata": metadata or None,
            "document": f"text {number}" if number % 2 else None,
        }
        made.append(record)
    return made


@pytest.fixture(scope="module")
def three(
    bucket: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, VectorStore]]:
    folder = tmp_path_factory.mktemp("stores")
    storage = open_storage((folder / "store").as_uri())
    log = DeltaLog(storage, "db")
    for space in SPACES:
        log.append(records(space), CollectionSpec(f"by-{space}", DIMENSION, space))  # type: ignore[arg-type]
    compact(storage, "db", folder / "work", stores={"file": "", "s3vectors": bucket})
    SnapshotStore(storage, "db").restore(folder / "data")
    with ChromaProcess(folder / "data") as server:
        yield {
            "session": SessionStore(chroma.chroma_client({"address": server.base_url})),
            "file": FileStore(storage, "db"),
            "s3vectors": S3VectorsStore(storage, "db"),
        }
    chroma.forget()


def ask(store: VectorStore, collection: str, where: Any, limit: int = 20) -> list[tuple[Any, ...]]:
    query = array.array("f", [random.Random(3).gauss(0, 1) for _ in range(DIMENSION)])
    found = store.query(collection, query, limit, where=where, documents=True)
    rows = sorted(found.rows, key=lambda row: (row.distance, row.id))
    return [(r.id, pytest.approx(r.distance, abs=6e-3), r.metadata, r.document) for r in rows]


@pytest.mark.parametrize("space", SPACES)
def test_three_stores_answer_alike(three: dict[str, VectorStore], space: str) -> None:
    asked = [None, *WHERES]
    others = [name for name in ("file", "s3vectors") if (name, space) != ("s3vectors", "ip")]
    found = 0
    for where in asked:
        session = ask(three["session"], f"by-{space}", where)
        kinds = [{k: type(v) for k, v in row[2].items()} for row in session]
        found += len(session)
        for name in others:
            rows = ask(three[name], f"by-{space}", where)
            assert rows == session, (name, where)
            assert [{k: type(v) for k, v in row[2].items()} for row in rows] == kinds
    for where in FRACTIONS:
        assert ask(three["file"], f"by-{space}", where) == ask(
            three["session"], f"by-{space}", where
        )
        if space != "ip":
            with pytest.raises(BadRequest, match="whole number"):
                ask(three["s3vectors"], f"by-{space}", where)
    assert found > 200


@pytest.mark.parametrize("space", ["cosine", "l2"])
def test_an_answer_of_several_pages_is_whole(three: dict[str, VectorStore], space: str) -> None:
    for limit in (50, 51, 110, 10_000):
        found = ask(three["s3vectors"], f"by-{space}", None, limit=limit)
        assert found == ask(three["file"], f"by-{space}", None, limit=limit)
        assert len(found) == min(limit, 120)


@pytest.mark.parametrize("where", REFUSED, ids=str)
def test_three_stores_refuse_alike(three: dict[str, VectorStore], where: Any) -> None:
    for store in three.values():
        with pytest.raises(BadRequest):
            ask(store, "by-l2", where)


def test_what_a_store_cannot_do_has_a_name(three: dict[str, VectorStore]) -> None:
    for name in ("file", "s3vectors"):
        for where in ({"#document": {"$contains": "x"}}, {"x": {"$contains": "x"}}):
            with pytest.raises(BadRequest):
                ask(three[name], "by-l2", where)
    for store in three.values():
        with pytest.raises(NotFound):
            ask(store, "nowhere", None)
        with pytest.raises(BadRequest, match="dimension"):
            store.query("by-l2", array.array("f", [1.0]), 1)
    with pytest.raises(BadRequest, match="at most 10,000"):
        ask(three["s3vectors"], "by-l2", None, limit=10_001)
    with pytest.raises(NotFound, match="has no S3 vector index"):
        ask(three["s3vectors"], "by-ip", None)
    far = array.array("f", [3e38] * DIMENSION)
    for name in ("file", "s3vectors"):
        assert three[name].query("by-l2", far, 1).rows[0].distance is None


class Killed(BaseException):
    """Like SIGKILL: nothing may catch it."""


class Mortal:
    """A store, and a client of S3 Vectors, whose process dies before a certain write."""

    def __init__(self, inner: Any, lives: list[int]) -> None:
        self._inner = inner
        self._lives = lives

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not name.startswith(("put", "delete", "create")):
            return found

        def write(*args: Any, **options: Any) -> Any:
            # What it deletes may be generated on the way.
            args = tuple(list(one) if name == "delete" else one for one in args)
            if not self._lives[0]:
                raise Killed
            self._lives[0] -= 1
            return found(*args, **options)

        return write


@pytest.mark.slow
@pytest.mark.parametrize("store", ["file", "s3vectors"])
def test_killed_between_any_two_writes_nothing_is_lost(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    """Each round has one write more to live, and changes what the killed rounds left behind."""
    storage, rng = open_storage((tmp_path / "store").as_uri()), random.Random(store)
    wanted: Any = {store: bucket if store == "s3vectors" else ""}
    log, lives, real = DeltaLog(storage, "killed"), [0], s3vectors.s3vectors_client()
    mortal: Any = Mortal(storage, lives)
    for module in ("chroma_store.stores.index", "vector_common.stores.s3vectors"):
        monkeypatch.setattr(f"{module}.s3vectors_client", lambda: Mortal(real, lives))
    log.append(changes(rng, 30), SPEC)
    compact(open_storage(storage.url), "killed", tmp_path / "work")
    deaths = 0
    for life in range(40):
        log.append(changes(rng, 10), SPEC)
        lives[0] = life
        try:
            compact(mortal, "killed", tmp_path / "work", stores=wanted)
        except Killed:
            deaths += 1
            assert log.pending() or is_behind(storage, "killed") or life < 30
            if life % 3:
                continue  # sometimes the next run follows at once, sometimes more changes come
        lives[0] = 10**6
        compact(mortal, "killed", tmp_path / "work", stores=wanted)
        check(storage, "killed", tmp_path / f"proof{life}")
        if life > deaths + 1:
            break
    assert deaths >= 8
    held = {
        info.key.removeprefix(export_prefix("killed"))
        for info in storage.list(export_prefix("killed"))
    }
    state = read_stores(storage, "killed")
    assert held == {d for fed in state.stores.values() for d in (*fed.files, *fed.before)}


def check(storage: Storage, database: str, folder: Path) -> None:
    """Compare every store of a database with its current snapshot."""
    assert not is_behind(storage, database)
    SnapshotStore(storage, database).restore(folder / "data")
    feed = Feed(storage, database)
    with ChromaProcess(folder / "data") as server:
        feed.read(server.base_url, folder / "read")
    for name in feed.stores:
        for equality in prove(feed, name, folder):
            assert (equality.differences, equality.recall) == ((), 1.0), (name, equality)


def test_a_proof_notices_what_is_not_equal(bucket: str, tmp_path: Path) -> None:
    storage = open_storage((tmp_path / "store").as_uri())
    DeltaLog(storage, "proof").append(
        [{"id": f"r{n}", "embedding": [n, 1, 1, 1], "metadata": {"n": n}} for n in range(40)], SPEC
    )
    compact(storage, "proof", tmp_path / "work", stores={"s3vectors": bucket})
    check(storage, "proof", tmp_path / "equal")
    client, index = s3vectors.s3vectors_client(), read_stores(storage, "proof").stores["s3vectors"]
    where = {"vectorBucketName": bucket, "indexName": index.collections["receipts"].index}
    assert where["indexName"].startswith(index_prefix("proof"))
    other = json.dumps({"metadata": {"n": 3.0}, "document": None})
    [one] = client.get_vectors(**where, keys=["r3"], returnData=True, returnMetadata=True)[
        "vectors"
    ]
    client.put_vectors(
        **where,
        vectors=[
            {
                **one,
                "metadata": {
                    **one["metadata"],
                    s3vectors.RECORD: other,
                },
            },
            {**one, "key": "more"},
        ],
    )
    client.delete_vectors(**where, keys=["r5"])
    SnapshotStore(storage, "proof").restore(tmp_path / "data")
    feed = Feed(storage, "proof")
    with ChromaProcess(tmp_path / "data") as server:
        feed.read(server.base_url, tmp_path / "read")
    [found] = prove(feed, "s3vectors", tmp_path)
    assert [d.partition(" ")[2] for d in found.differences] == [
        "'r3' has other metadata or another document",
        "'r5' is missing",
        "'more' is too much",
    ]


def test_what_an_index_cannot_hold_is_left_out_and_said(bucket: str, tmp_path: Path) -> None:
    storage = open_storage((tmp_path / "store").as_uri())
    log = DeltaLog(storage, "odd")
    one: dict[str, Any] = {"embedding": [1.0] * 4}
    odd: list[dict[str, Any]] = [
        {**one, "id": "many", "metadata": {f"k{n}": n for n in range(50)}},
        {**one, "id": "long", "metadata": {"k": "é" * 1100}},
        {**one, "id": "text", "document": "x" * 41_000},
        {**one, "id": "big", "metadata": {"k": 2**53 + 1}},
        {**one, "id": "taken", "metadata": {s3vectors.RECORD: "x"}},
        {**one, "id": "good", "metadata": {"k": 1}},
    ]
    log.append(odd, SPEC)
    log.append([{**one, "id": "a"}], CollectionSpec("inner", 4, "ip"))
    report = compact(storage, "odd", tmp_path / "work", stores={"s3vectors": bucket, "file": ""})
    fed = report.stores["s3vectors"]
    assert fed.left_out_count == len(fed.left_out) == 6
    assert {name: c.count for name, c in fed.collections.items()} == {"receipts": 1}
    assert "inner product" in " ".join(fed.left_out)
    assert (report.stores["file"].left_out_count, len(report.stores["file"].collections)) == (0, 2)
    check(storage, "odd", tmp_path / "proof")
    with pytest.raises(Conflict, match="migrate"):
        compact(storage, "odd", tmp_path / "work", stores={"s3vectors": "other"})
    # One that was good and is not any more leaves the index.
    log.append([{**one, "id": "good", "metadata": {"k": "x" * 3000}}], SPEC)
    assert compact(storage, "odd", tmp_path / "work").stores["s3vectors"].left_out_count == 7
    check(storage, "odd", tmp_path / "again")


def test_a_function_takes_a_new_export_and_refuses_a_damaged_one(
    s3_storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From S3: what is loaded is checked and kept, what has not changed is not loaded again."""
    log = DeltaLog(s3_storage, "db")
    log.append([{"id": "a", "embedding": [1, 0, 0, 0]}], SPEC)
    log.append([{"id": "b", "embedding": [1, 1, 0, 0]}], CollectionSpec("other", 4, "cosine"))
    compact(s3_storage, "db", tmp_path / "work", stores={"file": ""})
    reads: list[str] = []
    real = s3_storage.get_range

    def read(key: str, start: int, length: int) -> bytes:
        if "/exports/" in key:
            reads.append(key)
        return real(key, start, length)

    monkeypatch.setattr(s3_storage, "get_range", read)
    monkeypatch.setattr("vector_common.stores.file.REFRESH_SECONDS", -1)
    store = FileStore(s3_storage, "db", cache=tmp_path / "cache")
    query = array.array("f", [1, 0, 0, 0])
    assert [row.id for row in store.query("receipts", query, 5).rows] == ["a"]
    assert [row.id for row in store.query("other", query, 5).rows] == ["b"]
    assert len(reads) == 4
    log.append([{"id": "c", "embedding": [1, 0, 0, 1]}], SPEC)
    compact(s3_storage, "db", tmp_path / "work")
    assert [row.id for row in store.query("receipts", query, 5).rows] == ["a", "c"]
    assert [row.id for row in store.query("other", query, 5).rows] == ["b"]
    assert len(reads) == 6
    assert len(list((tmp_path / "cache").iterdir())) == 4
    fed = read_stores(s3_storage, "db").stores["file"].collections["other"]
    s3_storage.put(export_key("db", fed.records.sha256), b"x" * fed.records.size)
    with pytest.raises(Damaged, match="checksum"):
        FileStore(s3_storage, "db", cache=tmp_path / "new").query("other", query, 5)
    assert not list((tmp_path / "new").glob("*.part"))


def test_the_handlers_ask_the_store_that_the_stage_chose(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage((tmp_path / "store").as_uri())
    labelled = [{**r, "metadata": {"label": "x", "merchant": "m"}} for r in records("cosine", 20)]
    for database in ("receipts", "merchants"):
        log = DeltaLog(storage, database)
        log.append(labelled, CollectionSpec("items", DIMENSION, "cosine"))
        compact(storage, database, tmp_path / "work", stores={"file": "", "s3vectors": bucket})
    monkeypatch.setenv("STORAGE_URL", storage.url)
    monkeypatch.setenv("VECTOR_STORES", "receipts=file,merchants=s3vectors")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "test")
    stores._opened.cache_clear()
    assert isinstance(open_store(None, "receipts"), FileStore)
    assert open_store(None, "receipts") is open_store(None, "receipts")
    for database in ("receipts", "merchants"):
        event = {"embedding": labelled[3]["embedding"], "database": database}
        found = handler("vector_search")({**event, "collection": "items", "limit": 3}, None)
        assert found["results"][0]["id"] == "r3é"
        assert found["results"][0]["similarity"] == pytest.approx(1, abs=1e-3)
        judged = handler("label_validation")(
            {**event, "collection": "items", "label": "x", "minSimilarity": 0.1}, None
        )
        assert judged["verdict"] == "accept"
        matched = handler("merchant_match")({**event, "collections": ["items"]}, None)
        assert matched["merchant"] == "m"
    with pytest.raises(Exception, match="CHROMA_URL"):
        handler("vector_search")({**event, "collection": "items", "database": "else"}, None)
    monkeypatch.setenv("VECTOR_STORES", "receipts=disk")
    with pytest.raises(BadRequest, match="database=STORE"):
        open_store(None, "receipts")


def handler(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"function_{name}", LAMBDAS / name / "handler.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler


def test_a_stage_that_is_destroyed_with_its_data_leaves_no_vector_bucket(bucket: str) -> None:
    client = s3vectors.s3vectors_client()
    client.create_vector_bucket(vectorBucketName="doomed")
    for name in ("one", "two"):
        VectorIndex("doomed", name).create(4, "l2")
    destroy.delete_vector_bucket(client, "arn:aws:s3vectors:eu-west-1:1:bucket/doomed")
    names = [one["vectorBucketName"] for one in client.list_vector_buckets()["vectorBuckets"]]
    assert bucket in names
    assert "doomed" not in names
