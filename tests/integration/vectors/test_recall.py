"""Records that a real Chroma's index does not find any more, and the repair of it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chroma_store.deltas.compaction import compact
from chroma_store.deltas.log import DeltaLog
from chroma_store.server.client import ChromaHttp
from chroma_store.server.index import measure, repair
from chroma_store.server.process import ChromaProcess
from chroma_store.snapshots.manifest import CollectionInfo
from chroma_store.snapshots.store import SnapshotStore
from chroma_store.storage import Storage, open_storage
from vector_common.records import CollectionSpec, parse_records

if TYPE_CHECKING:
    from pathlib import Path


SPEC = CollectionSpec("receipts", 4, "cosine")
ROUNDS = 60
IDS = 300


class Churn:
    """Upserts and deletes of few records around few places, until the index has lost some."""

    def __init__(self, seed: int = 5, spec: CollectionSpec = SPEC) -> None:
        self.rng = random.Random(seed)
        self.spec = spec
        self.places = [[self.rng.gauss(0, 1) for _ in range(4)] for _ in range(40)]
        self.held: dict[str, list[float]] = {}

    def __call__(self, server: ChromaHttp) -> CollectionInfo:
        """The collection, whose index does not find all of it; as its server says."""
        collection, _ = server.ensure(self.spec)
        for _ in range(ROUNDS):
            gone = self.rng.sample(sorted(self.held), min(len(self.held), IDS // 10))
            if gone:
                server.delete(collection, gone)
            new = {f"r{self.rng.randrange(IDS)}": self._vector() for _ in range(IDS // 3)}
            changes = [{"id": i, "embedding": vector} for i, vector in new.items()]
            server.upsert(collection, parse_records(changes, self.spec), [None] * len(new))
            self.held = {i: v for i, v in self.held.items() if i not in gone} | new
            [info] = server.collections()
            if measure(server, info).low:
                return info
        raise AssertionError(f"Chroma lost nothing in {ROUNDS} rounds: is it remedied?")

    def _vector(self) -> list[float]:
        return [x + self.rng.gauss(0, 0.05) for x in self.rng.choice(self.places)]


def test_a_compaction_makes_an_index_anew_that_lost_records(tmp_path: Path) -> None:
    storage = open_storage((tmp_path / "store").as_uri())
    DeltaLog(storage, "db").append([{"id": "r0", "embedding": [1.0, 2.0, 3.0, 4.0]}], SPEC)
    churn = Churn()
    churn.held["r0"] = [1.0, 2.0, 3.0, 4.0]

    def change(base_url: str) -> None:
        churn(ChromaHttp(base_url))

    [recall] = compact(storage, "db", tmp_path / "work", change=change).recall
    assert recall.rebuilt
    assert recall.before < recall.found == recall.sampled == recall.records == len(churn.held)
    assert "it was rebuilt" in recall.summary
    # Nothing else changed, and every start finds all of it.
    assert _found(storage, tmp_path / "first") == _found(storage, tmp_path / "second")
    assert _found(storage, tmp_path / "third") == (len(churn.held), len(churn.held))


def _found(storage: Storage, folder: Path) -> tuple[int, int]:
    SnapshotStore(storage, "db").restore(folder)
    with ChromaProcess(folder) as server:
        http = ChromaHttp(server.base_url)
        [info] = http.collections()
        return info.count, measure(http, info).found


def test_other_tenants_are_repaired_and_what_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with ChromaProcess(tmp_path / "data") as server:
        default = ChromaHttp(server.base_url)
        default._call("POST", "/api/v2/tenants", {"name": "acme"})
        default._call("POST", "/api/v2/tenants/acme/databases", {"name": "other"})
        http = ChromaHttp(server.base_url, place=("acme", "other"))
        info = Churn(6)(http)
        assert info.name == "acme/other/receipts"
        # The name that a copy has meanwhile is in use: the old index stays.
        http.create_like("receipts", "layersmith-rebuild", "cosine")
        kept = repair(http, info)
        assert (kept.rebuilt, kept.low) == (False, True)
        assert "could not be rebuilt" in kept.summary
        http.drop("layersmith-rebuild")
        done = repair(http, info)
        assert (done.rebuilt, done.found) == (True, info.count)
        assert [i.name for i in http.collections()] == [info.name]


def test_equal_records_and_odd_vectors_are_not_taken_for_lost(tmp_path: Path) -> None:
    """Of a hundred equal records, ten are returned; by inner product the longest ones are."""
    (tmp_path / "data").mkdir()
    rng = random.Random(8)
    with ChromaProcess(tmp_path / "data") as server:
        http = ChromaHttp(server.base_url)
        for space in ("cosine", "l2", "ip"):
            spec = replace(SPEC, name=f"items-{space}", space=space)
            collection, _ = http.ensure(spec)
            places = [[rng.gauss(0, 1) for _ in range(4)] for _ in range(5)]
            vectors = [places[n % 5] for n in range(100)] + places
            page: dict[str, list[Any]] = {
                "ids": [f"r{n}" for n in range(106)],
                # Of no direction: only a client can write it.
                "embeddings": [*vectors, [0.0] * 4],
                "metadatas": [None] * 106,
                "documents": [None] * 106,
                "uris": [None] * 106,
            }
            http.add(collection, page)
        for info in http.collections():
            recall = measure(http, info)
            assert (recall.sampled, recall.low, recall.found) == (106, False, 106)


def test_an_index_that_does_not_answer_is_reported_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with ChromaProcess(tmp_path / "data") as server:
        http = ChromaHttp(server.base_url)
        http.ensure(SPEC)
        # What Chroma answers for a collection that is not what it says.
        recall = repair(http, CollectionInfo("missing", 4, 3, "cosine"))
        assert (recall.low, recall.rebuilt, recall.sampled) == (True, False, 0)
        assert "does not answer: Chroma at" in recall.summary
