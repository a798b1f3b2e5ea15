"""A collection into its S3 vector index: what changed is written, what is gone is deleted."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from vector_common.errors import Damaged
from vector_common.records import pack_floats
from vector_common.stores.s3vectors import METRICS, RECORD, s3vectors_client, s3vectors_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chroma_store.stores.dump import CollectionDump, Record

MAX_DIMENSION = 4096
MAX_KEYS = 50
MAX_FILTERABLE_BYTES = 2048
MAX_METADATA_BYTES = 40 * 1024
"""Of one vector (S3 user guide, S3 Vectors limitations and restrictions)."""

_PUT = 500
_PUT_BYTES = 10 * 1024 * 1024
"""Of a request, which may have 20 MiB; a number takes up to 20 bytes of JSON."""
_DELETE = 500
_LIST = 1000
_EXACT = 2**53
"""Integers beyond are not exact as double-precision numbers, which JSON's readers make of them."""

Digests = dict[str, str]


@dataclass(frozen=True, slots=True)
class IndexContent:
    """What an index holds: digests by key, why records were left out, and keys with numbers."""

    digests: Digests = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    integers: tuple[str, ...] = ()
    floats: tuple[str, ...] = ()


class VectorIndex:
    """One index of a vector bucket.

    Args:
        bucket: The bucket's name.
        name: The index's.
    """

    def __init__(self, bucket: str, name: str) -> None:
        self._where = {"vectorBucketName": bucket, "indexName": name}
        self._what = f"index {name} of {bucket}"

    def create(self, dimension: int, space: str) -> None:
        """Make it; one that is there already is as good.

        Raises:
            NotFound: There is no such bucket.
        """
        with s3vectors_errors(self._what):
            try:
                s3vectors_client().create_index(
                    **self._where,
                    dataType="float32",
                    dimension=dimension,
                    distanceMetric=METRICS[space],
                    metadataConfiguration={"nonFilterableMetadataKeys": [RECORD]},
                )
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "ConflictException":
                    raise

    def exists(self) -> bool:
        """Whether it is there."""
        with s3vectors_errors(self._what):
            try:
                s3vectors_client().get_index(**self._where)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") == "NotFoundException":
                    return False
                raise
        return True

    def drop(self) -> None:
        """Delete it; one that is gone already counts as deleted."""
        with s3vectors_errors(self._what):
            try:
                s3vectors_client().delete_index(**self._where)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "NotFoundException":
                    raise

    def vectors(self, *, metadata: bool) -> Iterator[dict[str, Any]]:
        """Every vector, by key.

        Args:
            metadata: With its metadata, for which S3 Vectors also asks for GetVectors.
        """
        more: dict[str, str] = {}
        while True:
            with s3vectors_errors(self._what):
                answer = s3vectors_client().list_vectors(
                    **self._where, maxResults=_LIST, returnMetadata=metadata, **more
                )
            yield from answer["vectors"]
            if not answer.get("nextToken"):
                return
            more = {"nextToken": answer["nextToken"]}

    def feed(self, source: CollectionDump, held: Digests) -> IndexContent:
        """Bring the index to what a collection holds.

        Args:
            source: The collection.
            held: What the index holds, by key; a digest that is empty is written again.
        """
        now: Digests = {}
        left_out: list[str] = []
        keys: dict[type, set[str]] = {int: set(), float: set()}

        def changed() -> Iterator[dict[str, Any]]:
            for record in source.records():
                reason = misfit(record, source.space)
                if reason:
                    left_out.append(f"{source.name}: record {record.id[:80]!a}: {reason}")
                    continue
                for key, value in record.metadata.items():
                    keys.get(type(value), set()).add(key)
                digest = now[record.id] = _digest(record)
                if held.get(record.id) != digest:
                    yield _vector(record)

        for batch in _batches(changed()):
            with s3vectors_errors(self._what):
                s3vectors_client().put_vectors(**self._where, vectors=batch)
        gone = sorted(held.keys() - now.keys())
        for start in range(0, len(gone), _DELETE):
            with s3vectors_errors(self._what):
                s3vectors_client().delete_vectors(**self._where, keys=gone[start : start + _DELETE])
        return IndexContent(
            now, tuple(left_out), tuple(sorted(keys[int])), tuple(sorted(keys[float]))
        )


def unfit(source: CollectionDump) -> str | None:
    """Why a collection cannot have an index; None if it can."""
    if source.space not in METRICS:
        return f"collection {source.name}: S3 Vectors calculates no inner product"
    if source.dimension > MAX_DIMENSION:
        return (
            f"collection {source.name}: has {source.dimension} dimensions, S3 Vectors takes "
            f"{MAX_DIMENSION}"
        )
    return None


def misfit(record: Record, space: str) -> str | None:
    """Why a record cannot be in an index; None if it can."""
    if len(record.metadata) >= MAX_KEYS:
        return f"has {len(record.metadata)} metadata keys, S3 Vectors takes {MAX_KEYS - 1} of them"
    if RECORD in record.metadata:
        return f"has the metadata key {RECORD}, which is reserved"
    if any(type(v) is int and abs(v) > _EXACT for v in record.metadata.values()):
        return "has an integer beyond 2^53, which S3 Vectors cannot compare exactly"
    if space == "cosine" and not any(record.vector):
        return "is all zeros, which S3 Vectors refuses for cosine"
    filterable = _bytes(_filterable(record))
    if filterable > MAX_FILTERABLE_BYTES:
        return f"has {filterable} bytes of metadata, S3 Vectors takes {MAX_FILTERABLE_BYTES}"
    whole = filterable + len(_whole(record).encode())
    if whole > MAX_METADATA_BYTES:
        return f"has {whole} bytes of metadata and document, S3 Vectors takes {MAX_METADATA_BYTES}"
    return None


def pack(digests: Digests) -> bytes:
    """Digests as an object; the same ones always give the same bytes."""
    lines = [f"{digest} {json.dumps(key)}\n" for key, digest in sorted(digests.items())]
    return zlib.compress("".join(lines).encode(), 6)


def unpack(data: bytes) -> Digests:
    """The inverse of `pack`.

    Raises:
        Damaged: It is not.
    """
    try:
        lines = zlib.decompress(data).decode().splitlines()
        pairs = (line.split(" ", 1) for line in lines)
        return {json.loads(key): digest for digest, key in pairs}
    except (zlib.error, ValueError) as error:
        raise Damaged(f"digests of an index: {error}") from error


def _vector(record: Record) -> dict[str, Any]:
    return {
        "key": record.id,
        "data": {"float32": list(record.vector)},
        "metadata": {**_filterable(record), RECORD: _whole(record)},
    }


def _filterable(record: Record) -> dict[str, Any]:
    # In S3 Vectors a comparison finds arrays that contain a value; in Chroma it does not.
    return {k: v for k, v in record.metadata.items() if isinstance(v, str | int | float)}


def _whole(record: Record) -> str:
    value = {"metadata": record.metadata, "document": record.document}
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _bytes(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def _digest(record: Record) -> str:
    content = pack_floats(record.vector) + _whole(record).encode()
    return hashlib.sha256(content).hexdigest()[:32]


def _batches(vectors: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for vector in vectors:
        more = 20 * len(vector["data"]["float32"]) + _bytes(vector["metadata"])
        if batch and (len(batch) == _PUT or size + more > _PUT_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(vector)
        size += more
    if batch:
        yield batch
