"""Changes to a collection: the schema that every writer and reader goes through."""

from __future__ import annotations

import array
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from vector_common.errors import BadRequest, ModelMismatch
from vector_common.names import check_collection

Op = Literal["upsert", "update", "delete"]
Space = Literal["cosine", "l2", "ip"]
Scalar = str | int | float | bool

OPS: tuple[Op, ...] = ("upsert", "update", "delete")
SPACES: tuple[Space, ...] = ("cosine", "l2", "ip")

MAX_DIMENSION = 16_384
MAX_ID = 512
MAX_DOCUMENT = 65_536
MAX_METADATA_KEYS = 64
MAX_VALUE = 65_536
"""Characters of a metadata string. With all keys full of characters of four bytes a record has
17 MB, under the 40 MiB that Chroma takes in a request."""
MAX_LENGTH = 1e18
"""Of a vector. Chroma calculates with 32-bit floats: squares of lengths beyond 1.8e19 overflow to
infinity, which has no distance and is stored as no number for cosine."""
MIN_LENGTH = 1e-18
"""Of a vector for cosine, which Chroma divides by its length: squares below it underflow."""
# Chroma keeps integers in SQLite's 64 bits.
_INT64 = range(-(2**63), 2**63)
# The first problems of a batch say enough.
_MAX_PROBLEMS = 10
# Chroma's own keys begin so; it answers 400 to keys with # or $ first, and one of its own keys with
# a value of another type ends the thread that writes its index.
_RESERVED = ("chroma:", "#", "$")
_MODEL_KEY, _VERSION_KEY = "embedding_model", "embedding_model_version"


MAX_MODEL = 256
"""Characters of an embedding model's name, and of its version."""


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """What made the vectors of a collection.

    Attributes:
        name: For example ``amazon.titan-embed-text-v2:0``.
        version: Tells apart what has one name but gives other vectors; empty if the name does.
    """

    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """What every vector of a collection shares.

    Attributes:
        name: The collection's name in Chroma.
        dimension: Numbers a vector.
        space: The distance: ``cosine``, ``l2`` (squared Euclidean) or ``ip`` (inner product).
        model: What its vectors come from; None if nobody said. Two specifications that differ in
            nothing else are equal: deltas without a model belong to the same collection.
    """

    name: str
    dimension: int
    space: Space = "cosine"
    model: EmbeddingModel | None = field(default=None, compare=False)

    def document(self) -> dict[str, object]:
        """It as JSON, in headers of deltas and in settings."""
        value: dict[str, object] = {
            "name": self.name,
            "dimension": self.dimension,
            "space": self.space,
        }
        if self.model:
            value["model"] = {"name": self.model.name, "version": self.model.version}
        return value

    def check_model(self, model: EmbeddingModel | None) -> None:
        """Raise ModelMismatch if both models are known, and are two."""
        require_same_model(self.name, self.model, model)


def model_metadata(model: EmbeddingModel) -> dict[str, str]:
    """How a collection's metadata in Chroma names its model."""
    return {_MODEL_KEY: model.name, _VERSION_KEY: model.version}


def model_of(metadata: Mapping[str, object]) -> EmbeddingModel | None:
    """The inverse of `model_metadata`; None if the metadata names no model."""
    name, version = metadata.get(_MODEL_KEY), metadata.get(_VERSION_KEY)
    return EmbeddingModel(str(name), str(version or "")) if name else None


def require_same_model(
    collection: str, of_collection: EmbeddingModel | None, model: EmbeddingModel | None
) -> None:
    """Raise ModelMismatch if both models are known, and are two."""
    if of_collection and model and of_collection != model:
        raise ModelMismatch(
            f"collection {collection}: its vectors come from the model {of_collection}, these from "
            f"{model}; distances between them mean nothing. Use the collection's model, or embed "
            "its documents anew into another collection"
        )


@dataclass(frozen=True, slots=True)
class VectorRecord:
    """One change of one record.

    An upsert replaces the record whole, or makes it. An update changes the parts that it has
    (metadata key by key) and does nothing where there is no such record. A delete removes it.

    Attributes:
        op: Which of the three.
        id: The record's id within its collection.
        embedding: 32-bit floats; always with upsert, perhaps with update, never with delete.
        metadata: Values by key; None leaves it unchanged (update) or empty (upsert).
        document: Text beside the vector.
    """

    op: Op
    id: str
    embedding: array.array[float] | None = None
    metadata: Mapping[str, Scalar] | None = None
    document: str | None = None


@dataclass
class _Problems:
    found: list[str] = field(default_factory=list)

    def add(self, place: str, what: str) -> None:
        self.found.append(f"{place}: {what}")
        if len(self.found) >= _MAX_PROBLEMS:
            self.check()

    def check(self) -> None:
        if self.found:
            raise BadRequest(*self.found)


def parse_spec(raw: object) -> CollectionSpec:
    """Check a collection's specification as it comes from outside.

    Raises:
        BadRequest: With every problem.
    """
    if not isinstance(raw, Mapping):
        raise BadRequest("collection: must be an object")
    name, dimension, space = raw.get("name"), raw.get("dimension"), raw.get("space", "cosine")
    problems = _Problems()
    if not isinstance(name, str):
        problems.add("collection.name", "must be a string")
    if type(dimension) is not int or not 0 < dimension <= MAX_DIMENSION:
        problems.add("collection.dimension", f"must be an integer of 1 to {MAX_DIMENSION}")
    if space not in SPACES:
        problems.add("collection.space", f"must be one of {', '.join(SPACES)}")
    model = _model(raw.get("model"), problems)
    problems.check()
    return CollectionSpec(
        check_collection(cast("str", name)), cast("int", dimension), cast("Space", space), model
    )


def parse_model(raw: object) -> EmbeddingModel | None:
    """Check ``{"name": ..., "version": ...}`` as it comes from outside; None names none.

    Raises:
        BadRequest: With every problem.
    """
    problems = _Problems()
    model = _model(raw, problems)
    problems.check()
    return model


def _model(raw: object, problems: _Problems) -> EmbeddingModel | None:
    if raw is None:
        return None
    if not isinstance(raw, Mapping) or raw.keys() - {"name", "version"}:
        problems.add("collection.model", "must be an object with name and, if needed, version")
        return None
    name = _text(raw.get("name"), "collection.model.name", MAX_MODEL, problems)
    version = raw.get("version", "")
    version = _text(version, "collection.model.version", MAX_MODEL, problems, empty=True)
    return EmbeddingModel(name, version)


def parse_records(raw: object, spec: CollectionSpec) -> list[VectorRecord]:
    """Check changes as they come from outside.

    Args:
        raw: A sequence of objects with ``op`` (``upsert`` if absent), ``id``, ``embedding``,
            ``metadata`` and ``document``.
        spec: What the collection demands.

    Raises:
        BadRequest: With the first ten problems, each with its place.
    """
    if not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
        raise BadRequest("records: must be an array")
    problems = _Problems()
    records = [
        record
        for number, item in enumerate(raw)
        if (record := _record(item, spec, f"records[{number}]", problems)) is not None
    ]
    problems.check()
    return records


def parse_change(raw: object, spec: CollectionSpec) -> VectorRecord:
    """Check one change; see `parse_records`.

    Raises:
        BadRequest: With every problem.
    """
    [record] = parse_records([raw], spec)
    return record


def parse_embedding(
    raw: object, dimension: int | None, place: str = "embedding"
) -> array.array[float]:
    """Check one vector and return it as 32-bit floats.

    Raises:
        BadRequest: It has another dimension, or a number that is not finite in 32 bits.
    """
    problems = _Problems()
    vector = _embedding(raw, dimension, place, problems)
    problems.check()
    return cast("array.array[float]", vector)


def pack_floats(vector: array.array[float]) -> bytes:
    """The little-endian bytes of a vector, on any machine."""
    if sys.byteorder == "little":
        return vector.tobytes()
    swapped = array.array("f", vector)
    swapped.byteswap()
    return swapped.tobytes()


def unpack_floats(data: bytes) -> array.array[float]:
    """The inverse of `pack_floats`."""
    vector = array.array("f")
    vector.frombytes(data)
    if sys.byteorder != "little":
        vector.byteswap()
    return vector


def _record(
    item: object, spec: CollectionSpec, place: str, problems: _Problems
) -> VectorRecord | None:
    if not isinstance(item, Mapping):
        problems.add(place, "must be an object")
        return None
    unknown = sorted(
        str(k) for k in item.keys() - {"op", "id", "embedding", "metadata", "document"}
    )
    if unknown:
        problems.add(place, f"has unknown keys {', '.join(unknown[:5])}")
    op = item.get("op", "upsert")
    if op not in OPS:
        problems.add(f"{place}.op", f"must be one of {', '.join(OPS)}")
        return None
    identifier = _text(item.get("id"), f"{place}.id", MAX_ID, problems)
    if op == "delete":
        if item.keys() - {"op", "id"}:
            problems.add(place, "a delete takes an id and nothing else")
        return VectorRecord("delete", identifier)
    vector = None
    if item.get("embedding") is not None:
        vector = _embedding(item["embedding"], spec.dimension, f"{place}.embedding", problems)
        if vector is not None:
            _check_length(vector, spec.space, f"{place}.embedding", problems)
    elif op == "upsert":
        problems.add(f"{place}.embedding", "is missing; an upsert replaces the whole record")
    metadata = _metadata(item.get("metadata"), f"{place}.metadata", problems)
    document = item.get("document")
    if document is not None:
        document = _text(document, f"{place}.document", MAX_DOCUMENT, problems, empty=True)
    return VectorRecord(op, identifier, vector, metadata, document)


def _embedding(
    raw: object, dimension: int | None, place: str, problems: _Problems
) -> array.array[float] | None:
    if not isinstance(raw, Sequence | array.array) or isinstance(raw, str | bytes):
        problems.add(place, "must be an array of numbers")
        return None
    if dimension is not None and len(raw) != dimension:
        problems.add(place, f"has {len(raw)} dimensions, its collection has {dimension}")
        return None
    if not 0 < len(raw) <= MAX_DIMENSION:
        problems.add(place, f"must have 1 to {MAX_DIMENSION} numbers")
        return None
    try:
        if any(isinstance(value, bool) for value in raw):
            raise TypeError
        vector = array.array("f", raw)
    except (TypeError, OverflowError, ValueError):
        problems.add(place, "must be an array of numbers that fit 32-bit floats")
        return None
    if not all(map(math.isfinite, vector)):
        first = next(i for i, value in enumerate(vector) if not math.isfinite(value))
        problems.add(f"{place}[{first}]", "is not a finite 32-bit float")
        return None
    return vector


def _check_length(
    vector: array.array[float], space: Space, place: str, problems: _Problems
) -> None:
    length = math.hypot(*vector)
    if space == "cosine" and not length:
        problems.add(place, "is all zeros, which has no cosine distance")
    elif length > MAX_LENGTH or (space == "cosine" and length < MIN_LENGTH):
        problems.add(
            place,
            f"has the length {length:.3g}, with which Chroma cannot calculate in 32 bits; scale it",
        )


def _metadata(raw: object, place: str, problems: _Problems) -> dict[str, Scalar] | None:
    if raw is None:
        return None
    if not isinstance(raw, Mapping) or len(raw) > MAX_METADATA_KEYS:
        problems.add(place, f"must be an object of at most {MAX_METADATA_KEYS} keys")
        return None
    clean: dict[str, Scalar] = {}
    for key, value in raw.items():
        if not _is_key(key):
            problems.add(
                place,
                f"key {str(key)[:40]!a} is empty, longer than {MAX_ID} characters, not Unicode, or "
                "reserved by Chroma (it begins with #, $ or chroma:)",
            )
        elif not _is_scalar(value):
            problems.add(
                f"{place}.{key[:40]}",
                f"must be a string of at most {MAX_VALUE} characters, a boolean, an int64 or a "
                "finite number",
            )
        else:
            clean[key] = value
    return clean or None


def _is_scalar(value: object) -> bool:
    if isinstance(value, bool):
        return True
    if isinstance(value, int):
        return value in _INT64
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str) and len(value) <= MAX_VALUE and is_utf8(value)


def _is_key(key: object) -> bool:
    if not isinstance(key, str) or not 0 < len(key) <= MAX_ID:
        return False
    return is_utf8(key) and not key.startswith(_RESERVED)


def _text(raw: object, place: str, limit: int, problems: _Problems, *, empty: bool = False) -> str:
    if not isinstance(raw, str) or (not raw and not empty) or len(raw) > limit:
        problems.add(place, f"must be a string of {0 if empty else 1} to {limit} characters")
        return ""
    if "\0" in raw or not is_utf8(raw):
        problems.add(place, "has a character that cannot be stored")
    return raw


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can hold a text."""
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True
