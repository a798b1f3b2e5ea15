"""S3 Vectors as AWS's guide describes it, over moto's, which keeps vectors but cannot query them.

Filters, limits and errors are written from the user guide (metadata filtering, limitations) and not
from the code under test.
"""

from __future__ import annotations

import json
import math
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.s3vectors import urls
from moto.s3vectors.responses import S3VectorsResponse

PAGE = 50
"""Vectors on a page of a listing or an answer, so that these have several."""


def install() -> None:
    """Teach moto's S3 Vectors what it lacks, in this process."""
    urls.url_paths["{0}/QueryVectors$"] = S3VectorsResponse.dispatch
    if not hasattr(S3VectorsResponse, "query_vectors"):
        put, create = S3VectorsResponse.put_vectors, S3VectorsResponse.create_index
        get = S3VectorsResponse.get_vectors
        response: Any = S3VectorsResponse
        response.query_vectors, response.list_vectors = _query, _list
        response.put_vectors = lambda self: _put(self, put)
        response.get_vectors = lambda self: _get(self, get)
        response.create_index = lambda self: _create(self, create)


def _refuse(message: str, kind: str = "ValidationException") -> JsonRESTError:
    error = JsonRESTError(kind, message)
    error.code = 409 if kind == "ConflictException" else 400
    return error


def _index(self: Any) -> Any:
    get = self._get_param
    return self.s3vectors_backend.get_index(
        get("vectorBucketName"), get("indexName"), get("indexArn")
    )


def _create(self: Any, create: Any) -> Any:
    bucket = self.s3vectors_backend.get_vector_bucket(self._get_param("vectorBucketName"))
    names = {index.index_name for index in bucket.indexes.values()}
    name = self._get_param("indexName")
    if name in names:
        raise _refuse("An index with the specified name already exists", "ConflictException")
    if not 3 <= len(name) <= 63 or name != name.lower() or "_" in name:
        raise _refuse("Invalid index name")
    if self._get_param("dimension") > 4096:
        raise _refuse("dimension must be at most 4096")
    answer = create(self)
    configuration = self._get_param("metadataConfiguration") or {}
    _index(self).hidden = set(configuration.get("nonFilterableMetadataKeys", []))
    return answer


def _put(self: Any, put: Any) -> Any:
    vectors, index = self._get_param("vectors"), _index(self)
    if len(vectors) > 500:
        raise _refuse("at most 500 vectors")
    for vector in vectors:
        metadata = vector.get("metadata") or {}
        filterable = {k: v for k, v in metadata.items() if k not in index.hidden}
        if len(json.dumps(filterable, ensure_ascii=False).encode()) > 2048:
            raise _refuse("Filterable metadata must have at most 2048 bytes")
        if len(json.dumps(metadata, ensure_ascii=False).encode()) > 44_000 or len(metadata) > 50:
            raise _refuse("Metadata must have at most 40 KB and 50 keys")
        if index.distance_metric == "cosine" and not any(vector["data"]["float32"]):
            raise _refuse("Zero vectors are not allowed")
    return put(self)


def _get(self: Any, get: Any) -> Any:
    if len(self._get_param("keys")) > 100:
        raise _refuse("at most 100 keys")
    return get(self)


def _list(self: Any) -> ActionResult:
    vectors = list(_index(self).vectors.values())
    start = int(self._get_param("nextToken") or 0)
    page = vectors[start : start + PAGE]
    shown: list[dict[str, Any]] = [{"key": v.key} for v in page]
    if self._get_param("returnMetadata"):
        shown = [{"key": v.key, "metadata": v.metadata} for v in page]
    more = {"nextToken": str(start + PAGE)} if start + PAGE < len(vectors) else {}
    return ActionResult({"vectors": shown, **more})


def _query(self: Any) -> ActionResult:
    index, top, where = _index(self), self._get_param("topK"), self._get_param("filter")
    query = self._get_param("queryVector")["float32"]
    if not 1 <= top <= 10_000:
        raise _refuse("topK must be between 1 and 10000")
    if len(query) != index.dimension:
        raise _refuse("Query vector must have the index's dimension")
    found = []
    for vector in index.vectors.values():
        filterable = {k: v for k, v in (vector.metadata or {}).items() if k not in index.hidden}
        if where is None or matches(where, filterable):
            distance = _distance(query, vector.data["float32"], index.distance_metric)
            found.append({"key": vector.key, "distance": distance, "metadata": vector.metadata})
    found.sort(key=lambda one: one["distance"])
    start = int(self._get_param("nextToken") or 0)
    end = min(start + PAGE, top)
    more = {"nextToken": str(end)} if end < min(top, len(found)) else {}
    metric = index.distance_metric
    return ActionResult({"vectors": found[start:end], "distanceMetric": metric, **more})


def _distance(one: list[float], other: list[float], metric: str) -> float:
    if metric == "euclidean":
        return math.dist(one, other)
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return 1 - dot / (math.hypot(*one) * math.hypot(*other))


def matches(where: Any, metadata: dict[str, Any]) -> bool:
    """Whether a filter finds metadata. ``$ne`` does not find what lacks the key."""
    return all(_holds(key, value, metadata) for key, value in where.items())


def _holds(key: str, test: Any, metadata: dict[str, Any]) -> bool:
    if key in {"$and", "$or"}:
        parts = [matches(part, metadata) for part in test]
        return all(parts) if key == "$and" else any(parts)
    if not isinstance(test, dict):
        test = {"$eq": test}
    ((operator, value),) = test.items()
    if operator == "$exists":
        return (key in metadata) is value
    if key not in metadata:
        return False
    there = metadata[key]
    if operator in {"$gt", "$gte", "$lt", "$lte"}:
        if isinstance(there, bool) or not isinstance(there, int | float):
            return False
        order = {"$gt": there > value, "$gte": there >= value, "$lt": there < value}
        return bool(order.get(operator, there <= value))
    values = value if operator in {"$in", "$nin"} else [value]
    found = any(_same(there, one) for one in values)
    return found is (operator in {"$eq", "$in"})


def _same(one: object, other: object) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other
