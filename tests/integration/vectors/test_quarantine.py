"""What Chroma does not take: refused when it is written, or set aside when it is applied."""

from __future__ import annotations

import itertools
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from chroma_store.deltas.compaction import compact
from chroma_store.deltas.log import DeltaLog
from chroma_store.server.client import ChromaHttp
from chroma_store.server.process import ChromaProcess
from chroma_store.snapshots.store import SnapshotStore
from chroma_store.storage import Storage, open_storage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vector_common.deltas import encode_lines
from vector_common.errors import BadRequest
from vector_common.ids import new_id
from vector_common.names import delta_key, quarantine_key
from vector_common.records import MAX_VALUE, SPACES, CollectionSpec

from tests.integration.vectors.corpus import SPEC, Model, recovered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VECTOR = [1.0, 2.0, 3.0, 4.0]
AS_FILE = pytest.mark.parametrize("storage", ["file"], indirect=True)


def plain(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"r{number}", "embedding": VECTOR, **more}


def write_by_hand(storage: Storage, spec: CollectionSpec, records: list[dict[str, Any]]) -> str:
    """A delta as another writer may write it, without the checks of this one."""
    delta = new_id()
    vector = "AACAPwAAAEAAAEBAAACAQA=="
    lines = [
        json.dumps({"op": "upsert", "embedding": vector, **record}).encode() + b"\n"
        for record in records
    ]
    storage.put(delta_key("db", delta), encode_lines(delta, spec, lines))
    return delta


# What the writer accepts, against the real server.


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaProcess]:
    folder = tmp_path_factory.mktemp("chroma") / "data"
    folder.mkdir()
    with ChromaProcess(folder) as running:
        yield running


ODD = [*"#$:._- \0\x01\x7f\u2028\ufffe\ud800\U0001f600é", "chroma:", "chroma:document", "a"]
texts = st.lists(st.sampled_from(ODD) | st.characters(), max_size=6).map("".join)
numbers = st.one_of(
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.floats(-10, 10),
    st.sampled_from([1e-45, 1e-20, 1e-17, 9e17, 1e19, 3.4e38, 0, 1]),
)
values = st.one_of(texts, numbers, st.booleans(), st.none(), texts.map(lambda t: t * 9000))
parts = st.sampled_from(["0", "1", "01", "255", "256", "a", "", "..", "-", "_"])
names = st.just("things") | st.lists(parts, min_size=2, max_size=5).map(".".join)
records = st.fixed_dictionaries(
    {"id": texts, "embedding": st.lists(numbers, min_size=2, max_size=2)},
    optional={
        "op": st.sampled_from(["upsert", "update"]),
        "metadata": st.none() | st.dictionaries(texts, values, max_size=3),
        "document": st.none() | texts,
    },
)
deletes = st.fixed_dictionaries({"op": st.just("delete"), "id": texts})
batches = st.lists(records | records | deletes, max_size=6)
databases = itertools.count()


def check_that_what_is_accepted_is_applied(
    server: ChromaProcess, storage: Storage, name: str, space: Any, batch: list[dict[str, Any]]
) -> None:
    log, spec = DeltaLog(storage, f"db{next(databases)}"), CollectionSpec(name, 2, space)
    for change in batch:
        try:
            log.append([change], spec)
        except BadRequest:
            continue
    report = log.replay(server.base_url)
    assert [item.summary for item in report.set_aside] == []
    if not report.applied:
        return
    http = ChromaHttp(server.base_url)
    collection = http.find(name)
    page = http.page(collection, 0, 100)
    assert len(page["ids"]) == report.expected[name]
    for vector in page["embeddings"]:
        assert all(value is not None and math.isfinite(value) for value in vector)
    if page["ids"]:
        http.delete(collection, page["ids"])


@given(names, st.sampled_from(SPACES), batches)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_chroma_takes_what_the_writer_accepts(
    server: ChromaProcess,
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    space: str,
    batch: list[dict[str, Any]],
) -> None:
    storage = open_storage((tmp_path_factory.getbasetemp() / "accepted").as_uri())
    check_that_what_is_accepted_is_applied(server, storage, name, space, batch)


@pytest.mark.exhaustive
@given(names, st.sampled_from(SPACES), batches)
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
def test_chroma_takes_whatever_the_writer_accepts(
    server: ChromaProcess,
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    space: str,
    batch: list[dict[str, Any]],
) -> None:
    storage = open_storage((tmp_path_factory.getbasetemp() / "all").as_uri())
    check_that_what_is_accepted_is_applied(server, storage, name, space, batch)


@AS_FILE
@pytest.mark.parametrize(
    "change",
    [
        plain(1, metadata={"#tag": 1}),
        plain(1, metadata={"$and": 1}),
        plain(1, metadata={"\ud800": 1}),
        plain(1, metadata={"k": "x" * (MAX_VALUE + 1)}),
        {"id": "r1", "embedding": [1e20, 0, 0, 0]},
    ],
    ids=["#", "$", "surrogate", "value", "length"],
)
def test_what_chroma_would_refuse_is_refused_when_it_is_written(
    storage: Storage, change: dict[str, Any]
) -> None:
    log = DeltaLog(storage, "db")
    with pytest.raises(BadRequest, match=r"records\[0\]"):
        log.append([change], SPEC)
    with pytest.raises(BadRequest, match="IP address"):
        log.append([plain(1)], CollectionSpec("127.0.0.1", 4))
    assert log.pending() == []


# What was written nevertheless.


@AS_FILE
def test_culprits_are_set_aside_and_the_rest_goes_on(storage: Storage, tmp_path: Path) -> None:
    log, store, model = DeltaLog(storage, "db"), SnapshotStore(storage, "db"), Model()
    first = [plain(n, document=f"text {n}") for n in range(8)]
    log.append(first, SPEC)
    model.apply(first)
    bad, good = {"id": "bad", "metadata": {"#": 1}}, {"id": "good", "metadata": {"a": 1}}
    odd = write_by_hand(storage, SPEC, [bad, good])
    model.apply([{**good, "embedding": VECTOR}])
    nameless = write_by_hand(storage, CollectionSpec("127.0.0.1", 4), [{"id": "r1"}])
    [flipped] = log.append([plain(100)], SPEC)
    data = storage.get(delta_key("db", flipped)).data
    storage.put(delta_key("db", flipped), data.replace(b"r100", b"r101"))
    last = [{"op": "delete", "id": "r3"}, {"op": "update", "id": "r4", "document": "new"}]
    log.append(last, SPEC)
    model.apply(last)

    assert recovered(store, log, tmp_path / "session") == model.records
    report = compact(storage, "db", tmp_path / "work")
    assert {item.delta for item in report.set_aside} == {odd, nameless, flipped}
    assert log.pending() == []
    assert recovered(store, log, tmp_path / "after") == model.records

    found = {item.delta: item for item in log.quarantined()}
    assert found[odd].changes == 1
    assert "'#'" in found[odd].reasons[0]
    assert "IP address" in found[nameless].reasons[0]
    assert "checksum" in found[flipped].reasons[0]
    assert b'"bad"' in storage.get(quarantine_key("db", odd, ".jsonl")).data
    assert b"r101" in storage.get(quarantine_key("db", flipped, ".jsonl")).data
    assert log.discard(odd) == 2
    assert {item.delta for item in log.quarantined()} == {nameless, flipped}


@AS_FILE
def test_a_change_that_only_the_server_refuses_leaves_its_record_as_it_was(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, store = DeltaLog(storage, "db"), SnapshotStore(storage, "db")
    log.append([plain(n, metadata={"k": n}) for n in range(20)], SPEC)
    [culprit] = log.append([{"op": "update", "id": "r7", "metadata": {"bad": 1}}], SPEC)
    log.append([{"op": "update", "id": "r7", "document": "kept"}], SPEC)
    call = ChromaHttp._call

    def picky(self: ChromaHttp, method: str, path: str, body: Any = None) -> Any:
        if '"bad"' in json.dumps(body):
            raise BadRequest("this version takes no such key")
        return call(self, method, path, body)

    monkeypatch.setattr(ChromaHttp, "_call", picky)
    report = compact(storage, "db", tmp_path / "work")
    assert [(item.delta, item.changes) for item in report.set_aside] == [(culprit, 1)]
    after = recovered(store, log, tmp_path / "after")
    assert len(after) == 20
    assert after["r7"] == (tuple(VECTOR), {"k": 7}, "kept")


@AS_FILE
def test_large_records_are_applied(storage: Storage, tmp_path: Path) -> None:
    """Together they are more than Chroma takes in one request."""
    log = DeltaLog(storage, "db")
    log.append([plain(n, document="x" * 65_000) for n in range(660)], SPEC)
    report = compact(storage, "db", tmp_path / "work")
    assert (report.records, report.set_aside) == (660, ())


@AS_FILE
def test_a_collection_that_a_client_made_blocks_nothing(storage: Storage, tmp_path: Path) -> None:
    """A client's get_or_create makes l2, and may make one again with another dimension."""
    log = DeltaLog(storage, "db")
    for name in ("empty", "used"):
        log.append([plain(1)], CollectionSpec(name, 4, "cosine"))
    [other] = log.append([{"id": "a", "embedding": [1.0] * 5}], CollectionSpec("other", 5, "l2"))
    (tmp_path / "data").mkdir()
    with ChromaProcess(tmp_path / "data") as running:
        http = ChromaHttp(running.base_url)
        http.ensure(CollectionSpec("empty", 4, "l2"))
        seed = DeltaLog(storage, "seed")
        for name in ("used", "other"):
            seed.append([plain(9)], CollectionSpec(name, 4, "l2"))
        seed.replay(running.base_url)
        report = log.replay(running.base_url)
        held = {info.name: (info.space, info.count) for info in http.collections()}
    assert [item.delta for item in report.set_aside] == [other]
    assert "has records of 4 dimensions, its delta has 5" in report.set_aside[0].reasons[0]
    assert [note.partition(":")[0] for note in report.notes] == ["collection used"]
    assert held == {"empty": ("cosine", 1), "used": ("l2", 2), "other": ("l2", 1)}
