"""The proof that a store holds what the snapshot holds, and finds what exact search finds.

Ids, metadata and documents are compared one by one, as a function would read them. Recall is the
share of the ten nearest records by exact search, in double precision over the server's own vectors,
that the store finds too.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from vector_common.names import export_key
from vector_common.stores.file import FileStore
from vector_common.stores.s3vectors import S3VectorsStore, record_of
from vector_common.stores.table import every

from chroma_store.stores.index import VectorIndex, misfit

if TYPE_CHECKING:
    import array
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from vector_common.stores import VectorStore
    from vector_common.stores.state import FedCollection, StoreName

    from chroma_store.storage import Storage
    from chroma_store.stores.dump import CollectionDump
    from chroma_store.stores.feed import Feed

NEAREST = 10
QUERIES = 20
"""For each collection; each is read against all of its vectors."""

LEAST_RECALL = 0.9
"""S3 Vectors searches approximately, and AWS states "over 90% average recall" for most data sets
(S3 user guide, S3 Vectors best practices); a file is searched whole."""

_MAX_DIFFERENCES = 10
_ROWS = 8192


@dataclass(frozen=True, slots=True)
class Equality:
    """What the comparison of one collection gave.

    Attributes:
        collection: Its name.
        records: Records that the store has.
        left_out: Records that it cannot have, which compaction reported.
        differences: The first records that differ, in words; empty if all are equal.
        recall: At ten, over `QUERIES` queries; 1.0 where there is nothing to find.
    """

    collection: str
    records: int
    left_out: int
    differences: tuple[str, ...]
    recall: float

    @property
    def holds(self) -> bool:
        """Whether the store is as good as the snapshot."""
        return not self.differences and self.recall >= LEAST_RECALL


def prove(feed: Feed, name: StoreName, folder: Path) -> list[Equality]:
    """Compare a store with what a server holds.

    Args:
        feed: What was read from the server, and what the stores were fed.
        name: Which store.
        folder: For what is loaded.

    Returns:
        A comparison for each collection that the store has.
    """
    storage, database, fed = feed.storage, feed.database, feed.stores[name]
    store: VectorStore = (
        FileStore(storage, database, cache=folder / "cache")
        if name == "file"
        else S3VectorsStore(storage, database)
    )
    found = []
    for source in feed.dumps:
        held = fed.collections.get(source.name)
        if held is None:
            continue
        there = dict(_held(storage, database, held, fed.bucket, folder))
        left_out, differences = _compare(source, there, name)
        recall = _recall(store, source, there)
        found.append(
            Equality(
                source.name, len(there), left_out, tuple(differences[:_MAX_DIFFERENCES]), recall
            )
        )
    return found


def _held(
    storage: Storage, database: str, fed: FedCollection, bucket: str, folder: Path
) -> Iterator[tuple[str, tuple[dict[str, Any], str | None]]]:
    """Every record of a store: id, metadata and document."""
    if fed.vectors is not None:
        path = folder / "compared"
        path.write_bytes(storage.get(export_key(database, fed.records.sha256)).data)
        for identifier, metadata, document in every(path):
            yield identifier, (metadata, document)
    elif fed.index:
        for one in VectorIndex(bucket, fed.index).vectors(metadata=True):
            yield one["key"], record_of(one)


def _compare(
    source: CollectionDump, there: dict[str, tuple[dict[str, Any], str | None]], name: StoreName
) -> tuple[int, list[str]]:
    differences: list[str] = []
    left_out = 0
    ids: set[str] = set()
    for record in source.records():
        ids.add(record.id)
        other = there.get(record.id)
        if other is None and name == "s3vectors" and misfit(record, source.space):
            left_out += 1
        elif other is None:
            differences.append(f"record {record.id[:80]!a} is missing")
        elif not _same(other, (record.metadata, record.document)):
            differences.append(f"record {record.id[:80]!a} has other metadata or another document")
    differences += [f"record {i[:80]!a} is too much" for i in sorted(there.keys() - ids)]
    return left_out, differences


def _same(one: tuple[dict[str, Any], str | None], other: tuple[dict[str, Any], str | None]) -> bool:
    # 1, 1.0 and True are equal in Python, and not the same metadata.
    kinds = [{key: type(value) for key, value in metadata.items()} for metadata, _ in (one, other)]
    return one == other and kinds[0] == kinds[1]


def _recall(store: VectorStore, source: CollectionDump, there: Mapping[str, Any]) -> float:
    import numpy as np  # noqa: PLC0415 -- the server's image has none, and proves nothing

    ids = [identifier for identifier, _, _ in every(source.table)]
    rows = {identifier: row for row, identifier in enumerate(ids)}
    absent = np.array([identifier not in there for identifier in ids], dtype=bool)
    wanted = min(NEAREST, source.count - int(absent.sum()))
    if not wanted:
        return 1.0
    # What an index has too much is among the differences, and no hit.
    vectors = np.memmap(
        source.vectors, dtype="<f4", mode="r", shape=(source.count, source.dimension)
    )
    hits = asked = 0
    for query in _queries(source):
        exact = _distances(np, vectors, np.asarray(query, dtype=np.float64), source.space)
        exact[absent] = np.inf
        tenth = float(np.partition(exact, wanted - 1)[wanted - 1])
        found = store.query(source.name, query, wanted).rows
        # Of records as far as the tenth, any is right.
        limit = tenth + 1e-6 * max(1.0, abs(tenth))
        hits += sum(row.id in rows and exact[rows[row.id]] <= limit for row in found)
        asked += wanted
    return float(hits / asked)


def _queries(source: CollectionDump) -> list[array.array[float]]:
    """Vectors of the collection, moved a little: what a query is like."""
    rng = random.Random(source.count)
    step = max(1, source.count // QUERIES)
    queries = [vector[:] for vector in islice(source.rows(), 0, None, step)][:QUERIES]
    for vector in queries:
        spread = 0.1 * math.hypot(*vector) / math.sqrt(len(vector))
        for place in range(len(vector)):
            vector[place] += rng.gauss(0, spread)
    return queries


def _distances(np: Any, vectors: Any, query: Any, space: str) -> Any:
    """Of every vector to a query, in double precision, a part of the file at a time."""
    out = np.empty(len(vectors))
    for start in range(0, len(vectors), _ROWS):
        block = vectors[start : start + _ROWS].astype(np.float64)
        if space == "l2":
            out[start : start + _ROWS] = ((block - query) ** 2).sum(axis=1)
            continue
        if space == "cosine":
            lengths = np.linalg.norm(block, axis=1) * np.linalg.norm(query)
            block /= np.where(lengths > 0, lengths, 1)[:, None]
        out[start : start + _ROWS] = 1 - block @ query
    return out
