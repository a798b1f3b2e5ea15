"""The index of a collection: whether it finds what the collection holds, and making it anew.

hnswlib, in which Chroma keeps its index, does not guarantee that its graph reaches every record.
After updates and deletes a few are never found, even by their own vector, though `get` has them
(chroma-core/chroma#7758 and #3580, nmslib/hnswlib#515 and #522). The last changes, up to Chroma's
``sync_threshold`` of 1,000, are put into the graph again at each start, so a restart changes which
records those are. No setting prevents it: it happens with one thread and with several, with and
without restarts. A graph that is made in one go from all records has hardly any of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vector_common.errors import BadRequest, Conflict, Damaged, PayloadTooLarge, VectorError
from vector_common.records import MIN_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chroma_store.server.client import ChromaHttp
    from chroma_store.snapshots.manifest import CollectionInfo

SAMPLE = 500
"""Records of a collection that are searched for by their own vector; all if there are no more."""

RECALL_BOUND = 0.998
"""Share of the sample that must be found. One of 500 may be missing, none of fewer: rebuilding a
small collection costs little, and a large one has always a few."""

REBUILD_RECORDS = 250_000
"""Collections up to this size are rebuilt by a compaction: about three minutes at 1,300 records a
second. Larger ones are only reported, and left to `vectors rebuild`."""

_QUERIES = 25
"""A request, and records side by side that are taken for the sample."""

_NEAREST = 10
_SAME = 1e-5
"""Difference of two distances that are the same: Chroma calculates in 32 bits."""

_PAGE = 1000
_PAGE_NUMBERS = 1_000_000
"""Of the vectors of a page, which take about 30 bytes each as Python objects."""

_COLUMNS = ("ids", "embeddings", "metadatas", "documents", "uris")
_COPY = "layersmith-rebuild"
"""Of the copy, until it takes the collection's name."""

_TOLERANCE = 1e-5
"""Of a normalised vector's numbers: Chroma divides by the length in 32 bits."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Whether records are found by their own vector.

    Attributes:
        collection: Its name.
        records: How many it has.
        sampled: For how many of them the server was asked.
        found: How many of these it found.
        rebuilt: Whether the index was made anew, after which ``found`` was counted.
        before: How many had been found before that.
        problem: Why it could not be measured, or not be made anew.
    """

    collection: str
    records: int
    sampled: int
    found: int
    rebuilt: bool = False
    before: int = 0
    problem: str | None = None

    @property
    def low(self) -> bool:
        """Whether fewer were found than should be, or nobody knows."""
        return self.found < self.sampled * RECALL_BOUND or (not self.sampled and bool(self.problem))

    @property
    def summary(self) -> str:
        """One sentence for a person."""
        if self.problem and not self.sampled:
            return f"collection {self.collection}: its index does not answer: {self.problem}"
        text = f"collection {self.collection}: its index finds {self.found} of {self.sampled}"
        if self.rebuilt:
            return f"{text} records by their own vector; it was rebuilt, and found {self.before}"
        why = f"; it could not be rebuilt: {self.problem}" if self.problem else ""
        return f"{text} records by their own vector{why}"

    def document(self) -> dict[str, object]:
        """As reports have it."""
        return {
            "collection": self.collection,
            "sampled": self.sampled,
            "found": self.found,
            "rebuilt": self.rebuilt,
            "foundBefore": self.before if self.rebuilt else self.found,
        }


def measure(server: ChromaHttp, info: CollectionInfo, sample: int = SAMPLE) -> Recall:
    """Search for records of a collection by their own vectors.

    Args:
        server: Where it is.
        info: What the server says of it.
        sample: For how many at most: pages at even distances over the whole collection.
    """
    if not info.count:
        return Recall(info.name, 0, 0, 0)
    collection = server.find(_own_name(info))
    pages = -(-min(sample, info.count) // _QUERIES)
    most = min(_NEAREST, info.count)
    sampled = found = 0
    for number in range(pages):
        offset = number * info.count // pages if info.count > sample else number * _QUERIES
        page = server.page(collection, offset, _QUERIES)
        if not page["ids"]:
            continue  # deleted meanwhile
        answers = server.nearest(collection, page["embeddings"], most)
        for record, vector, answer in zip(page["ids"], page["embeddings"], answers, strict=True):
            sampled += 1
            found += _is_found(record, vector, answer, most, info.space)
    return Recall(info.name, info.count, sampled, found)


def repair(server: ChromaHttp, info: CollectionInfo) -> Recall:
    """Measure a collection, and make its index anew if it finds too little.

    An index that does not answer, or cannot be made anew, stays unchanged and is reported as
    low: it must not keep a compaction from its end.
    """
    try:
        before = measure(server, info)
    except VectorError as error:
        return Recall(info.name, info.count, 0, 0, problem=str(error))
    if not before.low or info.space is None or info.count > REBUILD_RECORDS:
        return before
    try:
        replace_by_copy(server, info, info.space)
        after = measure(server, info)
    except (BadRequest, Conflict, Damaged, PayloadTooLarge) as error:
        return replace(before, problem=str(error))
    return replace(after, rebuilt=True, before=before.found)


def _is_found(
    record: str,
    vector: list[float],
    answer: list[tuple[str, float | None]],
    wanted: int,
    space: str | None,
) -> bool:
    """Whether a record is in the answer, or has no place there because others are as near."""
    if any(found == record for found, _ in answer):
        return True
    distances = [distance for _, distance in answer if distance is not None]
    if len(distances) < len(answer):
        return True  # too long for 32 bits; the index is not at fault
    length = math.hypot(*vector)
    if space == "cosine" and length < MIN_LENGTH:
        return True  # has no direction, so nothing is near it
    own = 1 - length * length if space == "ip" else 0.0
    near = 0.0 if space == "l2" else _SAME * max(1.0, abs(own))
    return len(answer) == wanted and max(distances) <= own + near


def _own_name(info: CollectionInfo) -> str:
    """Without the tenant and database that go before it in manifests."""
    return info.name.rpartition("/")[2]


def replace_by_copy(server: ChromaHttp, info: CollectionInfo, space: str) -> None:
    """Put a copy of a collection in its place: with an index made anew, and maybe another space.

    Args:
        server: Of nobody else; a reader would see the name vanish for a moment.
        info: What the server says of the collection; its configuration and metadata stay.
        space: Which the copy calculates.

    Raises:
        BadRequest: A record has no length, which cosine needs.
        Damaged: The copy is not what the collection was; nothing was changed.
    """
    name = _own_name(info)
    new = server.create_like(name, _COPY, space)
    try:
        _copy(server, info, new, space)
    except VectorError:
        server.drop(_COPY)
        raise
    server.drop(name)
    server.rename(new, name)


def _copy(server: ChromaHttp, info: CollectionInfo, new: str, space: str) -> None:
    name = _own_name(info)
    old = server.find(name)
    for page in _pages(server, old, max(1, min(_PAGE, _PAGE_NUMBERS // (info.dimension or 1)))):
        if space == "cosine" != info.space:
            _check_lengths(name, page)
        _add(server, new, page)
        if not _alike(page, server.records(new, page["ids"]), space):
            raise Damaged(f"collection {name}: the copy differs from it; nothing was changed")
    if server.count(new) != server.count(old):
        raise Damaged(f"collection {name}: the copy has another count; nothing was changed")


def _pages(server: ChromaHttp, collection: str, size: int) -> Iterator[dict[str, list[Any]]]:
    offset = 0
    while (page := server.page(collection, offset, size))["ids"]:
        yield page
        offset += len(page["ids"])


def _add(server: ChromaHttp, collection: str, page: dict[str, list[Any]]) -> None:
    """Write a page, in halves where it is too large for a request."""
    try:
        server.add(collection, page)
    except PayloadTooLarge:
        middle = len(page["ids"]) // 2
        if not middle:
            raise
        columns = {key: page[key] for key in _COLUMNS}
        _add(server, collection, {key: values[:middle] for key, values in columns.items()})
        _add(server, collection, {key: values[middle:] for key, values in columns.items()})


def _check_lengths(name: str, page: dict[str, list[Any]]) -> None:
    pairs = zip(page["ids"], page["embeddings"], strict=True)
    short = [i for i, vector in pairs if math.hypot(*vector) < MIN_LENGTH]
    if short:
        raise BadRequest(
            f"collection {name}: cosine needs vectors with a length, and {len(short)} of these "
            f"have none, the first of them {short[0][:80]!r}"
        )


def _alike(old: dict[str, list[Any]], new: dict[str, list[Any]], space: str) -> bool:
    """Whether two answers hold the same records; for cosine, vectors of the same direction."""
    before, after = _by_id(old), _by_id(new)
    if before.keys() != after.keys():
        return False
    for identifier, (vector, *rest) in before.items():
        copied, *others = after[identifier]
        if rest != others:
            return False
        if vector != copied and (space != "cosine" or not _same_direction(vector, copied)):
            return False
    return True


def _by_id(answer: dict[str, list[Any]]) -> dict[str, tuple[Any, ...]]:
    # Chroma writes null for a key that was removed; it means the same as no key.
    metadatas = [
        {k: v for k, v in (metadata or {}).items() if v is not None}
        for metadata in answer["metadatas"]
    ]
    columns = (answer["embeddings"], metadatas, answer["documents"], answer["uris"])
    return dict(zip(answer["ids"], zip(*columns, strict=True), strict=True))


def _same_direction(one: list[float], other: list[float]) -> bool:
    lengths = math.hypot(*one), math.hypot(*other)
    return len(one) == len(other) and all(
        math.isclose(a / lengths[0], b / lengths[1], abs_tol=_TOLERANCE)
        for a, b in zip(one, other, strict=True)
    )
