"""A database in Amazon S3 Vectors: one index a collection, named in ``stores.json``.

A record's metadata can be filtered natively; beside it lies the record as JSON under a key that is
not filterable, because an index keeps neither documents nor the difference of 1 and 1.0.
"""

from __future__ import annotations

import functools
import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from vector_common import aws
from vector_common.errors import BadRequest, Damaged, NotFound, ServerBusy, StoreError
from vector_common.names import check_database
from vector_common.stores.file import REFRESH_SECONDS
from vector_common.stores.rows import Row, StoreAnswer, check_query
from vector_common.stores.state import read_stores
from vector_common.stores.where import Filter, MetadataCombination, MetadataComparison, parse_where

if TYPE_CHECKING:
    import array
    from collections.abc import Iterator, Mapping

    from vector_common.records import EmbeddingModel
    from vector_common.storage import Storage
    from vector_common.stores.state import FedCollection, FedStore

RECORD = "layersmith-record"
"""The key beside a record's metadata that holds its metadata and document as JSON."""

MAX_RESULTS = 10_000
"""Of one query, in pages (S3 Vectors, since 2026-06-16)."""

GET_KEYS = 100
"""Vectors of one GetVectors (S3 user guide, S3 Vectors limitations)."""

METRICS = {"cosine": "cosine", "l2": "euclidean"}
"""What an index calls a space; it has no inner product."""

_BUSY = {
    "TooManyRequestsException",
    "ServiceUnavailableException",
    "InternalServerException",
    "RequestTimeoutException",
}


@functools.cache
def s3vectors_client() -> Any:
    """The client of an execution environment; it gives up in time."""
    config = {
        "connect_timeout": 3,
        "read_timeout": 20,
        "retries": {"mode": "standard", "total_max_attempts": 5},
    }
    return aws.client("s3vectors", config)


@contextmanager
def s3vectors_errors(what: str) -> Iterator[None]:
    """Turn what botocore raises into this package's errors.

    Args:
        what: Says in messages what was being done.
    """
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        kind = (
            ServerBusy
            if code in _BUSY
            else NotFound
            if code == "NotFoundException"
            else BadRequest
            if code == "ValidationException"
            else StoreError
        )
        raise kind(f"{what}: {error}") from error
    except BotoCoreError as error:
        raise ServerBusy(f"{what}: {error}") from error


class S3VectorsStore:
    """A database's indexes; may be shared by threads.

    Args:
        storage: Where the database lies, for ``stores.json``.
        database: Its name.
    """

    def __init__(self, storage: Storage, database: str) -> None:
        self._storage = storage
        self._database = check_database(database)
        self._lock = threading.Lock()
        self._fed: FedStore | None = None
        self._asked = 0.0

    def query(
        self,
        collection: str,
        vector: array.array[float],
        limit: int,
        *,
        where: Mapping[str, Any] | None = None,
        documents: bool = False,
        model: EmbeddingModel | None = None,
    ) -> StoreAnswer:
        """Ask the collection's index."""
        if limit > MAX_RESULTS:
            raise BadRequest(
                f"limit: S3 Vectors answers with at most {MAX_RESULTS:,} records, {limit:,} were "
                "asked for; a session or the file store has no such limit"
            )
        parsed = parse_where(where) if where else None
        fed = self._collection(collection)
        check_query(collection, fed, len(vector), model)
        try:
            return self._ask(fed, collection, vector, limit, parsed, documents=documents)
        except NotFound:
            # A rebuilt collection has another index.
            newer = self._collection(collection, again=True)
            if newer.index == fed.index:
                raise
            check_query(collection, newer, len(vector), model)
            return self._ask(newer, collection, vector, limit, parsed, documents=documents)

    def _ask(
        self,
        fed: FedCollection,
        collection: str,
        vector: array.array[float],
        limit: int,
        where: Filter | None,
        *,
        documents: bool,
    ) -> StoreAnswer:
        if not fed.count:
            return StoreAnswer(fed.space, [])
        index = {"vectorBucketName": self._bucket(), "indexName": fed.index}
        with s3vectors_errors(f"collection {collection}"):
            found = _pages(
                **index,
                topK=limit,
                queryVector={"float32": list(vector)},
                returnMetadata=True,
                returnDistance=True,
                **({"filter": native(where, fed)} if where else {}),
            )
            distances = {one["key"]: one["distance"] for one in found}
            if fed.space == "l2":
                # AWS does not document whether it squares; Chroma does.
                distances = _distances(index, list(distances), vector)
        rows = []
        for one in found:
            if one["key"] in distances:  # deleted between the two calls
                metadata, document = record_of(one)
                kept = document if documents else None
                rows.append(Row(one["key"], distances[one["key"]], metadata, kept))
        return StoreAnswer(fed.space, rows)

    def _collection(self, name: str, *, again: bool = False) -> FedCollection:
        with self._lock:
            if again or self._fed is None or time.monotonic() - self._asked > REFRESH_SECONDS:
                fed = read_stores(self._storage, self._database).stores.get("s3vectors")
                if fed is None or not fed.snapshot:
                    raise NotFound(
                        f"database {self._database}: has no S3 vector index yet; compaction makes "
                        "it, or `layersmith vectors migrate --to s3vectors`"
                    )
                self._fed, self._asked = fed, time.monotonic()
            found = self._fed.collections.get(name)
        if found is None:
            raise NotFound(f"collection {name}: has no S3 vector index in {self._database}")
        return found

    def _bucket(self) -> str:
        return self._fed.bucket if self._fed else ""


def record_of(vector: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Metadata and document of a vector as the API returns it.

    Raises:
        Damaged: It was not written by layersmith.
    """
    try:
        record = json.loads(vector["metadata"][RECORD])
        return dict(record["metadata"]), record["document"]
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(
            f"vector {vector.get('key')!r:.80}: has no {RECORD}; something else writes this index"
        ) from error


def native(where: Filter, fed: FedCollection) -> dict[str, Any]:
    """A filter as S3 Vectors writes it.

    Raises:
        BadRequest: It compares what an index compares in another way than Chroma.
    """
    if isinstance(where, MetadataCombination):
        return {where.operator: [native(part, fed) for part in where.parts]}
    return _compared(where, fed)


def _compared(where: MetadataComparison, fed: FedCollection) -> dict[str, Any]:
    if where.key == RECORD:
        raise BadRequest(f"where.{RECORD}: is reserved in S3 Vectors")
    values = list(where.values)
    if where.key in fed.integers and any(number != int(number) for number in where.numbers):
        # Chroma compares integers with the whole part of a number, so that 2.5 finds 2.
        if where.key in fed.floats:
            raise BadRequest(
                f"where.{where.key[:40]}: there are integers and other numbers under this key, "
                "which Chroma and S3 Vectors do not compare alike with a fraction; compare with a "
                "whole number, or write all of them as floats"
            )
        values = [int(number) for number in where.numbers]
    many = where.operator in {"$in", "$nin"}
    test = {where.key: {where.operator: values if many else values[0]}}
    if where.operator in {"$ne", "$nin"}:
        # Chroma finds records without the key too.
        return {"$or": [{where.key: {"$exists": False}}, test]}
    return test


def _pages(**question: Any) -> list[dict[str, Any]]:
    """All that a query finds, nearest first."""
    found: list[dict[str, Any]] = []
    more: dict[str, str] = {}
    while True:
        answer = s3vectors_client().query_vectors(**question, **more)
        found += answer["vectors"]
        if not answer.get("nextToken"):
            return found
        more = {"nextToken": answer["nextToken"]}


def _distances(
    index: Mapping[str, str], keys: list[str], vector: array.array[float]
) -> dict[str, float | None]:
    """The squared Euclidean distances of those records that are still there."""
    found: dict[str, float | None] = {}
    for first in range(0, len(keys), GET_KEYS):
        part = keys[first : first + GET_KEYS]
        stored = s3vectors_client().get_vectors(**index, keys=part, returnData=True)
        for one in stored["vectors"]:
            found[one["key"]] = _squared(vector, one["data"]["float32"])
    return found


def _squared(vector: array.array[float], other: list[float]) -> float | None:
    total = sum((a - b) ** 2 for a, b in zip(vector, other, strict=True))
    return total if total <= 3.4028234e38 else None
