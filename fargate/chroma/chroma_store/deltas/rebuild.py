"""A collection with another space, or none: what Chroma cannot change in place.

The change is made on the restored copy of a compaction, so nobody sees half of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vector_common.deltas import drop_settings, read_settings, write_settings
from vector_common.errors import BadRequest, Conflict, Damaged, NotFound, PayloadTooLarge
from vector_common.records import MIN_LENGTH, CollectionSpec

from chroma_store.deltas.compaction import compact
from chroma_store.server.client import ChromaHttp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vector_common.records import Space

    from chroma_store.deltas.compaction import CompactionReport
    from chroma_store.storage import Storage

_PAGE = 1000
_PAGE_NUMBERS = 1_000_000
"""Of the vectors of a page, which take about 30 bytes each as Python objects."""

_COLUMNS = ("ids", "embeddings", "metadatas", "documents", "uris")
_COPY = "layersmith-rebuild"
"""Of the copy, until it takes the collection's name."""

_TOLERANCE = 1e-5
"""Of a normalised vector's numbers: Chroma divides by the length in 32 bits."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What shall become of a collection.

    Attributes:
        collection: Its name.
        space: Which it shall calculate; None removes it with its settings.
        former: Its name before a client renamed it, whose settings are removed.
    """

    collection: str
    space: Space | None = None
    former: str | None = None


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild did: to how many records, and the compaction that it was made in."""

    records: int
    compaction: CompactionReport


def rebuild(
    storage: Storage,
    database: str,
    wish: Wish,
    work_dir: Path,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> RebuildReport:
    """Compact a database, and give a collection other settings on the way.

    The snapshot first, then the settings. Killed between, it is run again.

    Args:
        storage: Where the database lies; its caller holds the lease.
        database: Its name.
        wish: Which collection, and what to make of it.
        work_dir: For the compaction.
        say: Called with each step as it begins.

    Raises:
        NotFound: There is no such collection.
        BadRequest: A record has no length, which cosine needs.
        Conflict: There still is a collection of the former name.
        Damaged: The copy is not what the collection was.
        PointerMoved, Unavailable, StoreError: As `compact`.
    """
    found: list[tuple[int, CollectionSpec | None]] = []

    def change(base_url: str) -> None:
        say("rebuild")
        found.append(_change(ChromaHttp(base_url), wish, storage, database))

    report = compact(storage, database, work_dir, say=say, change=change)
    say("settings")
    (records, spec), *_ = found
    if spec:
        write_settings(storage, database, spec)
    else:
        drop_settings(storage, database, wish.collection)
    if wish.former:
        drop_settings(storage, database, wish.former)
    return RebuildReport(records, report)


def _change(
    server: ChromaHttp, wish: Wish, storage: Storage, database: str
) -> tuple[int, CollectionSpec | None]:
    """Make the change on a server; return how many records it met, and the new settings."""
    held = {info.name: info for info in server.collections()}
    if wish.former in held:
        raise Conflict(f"collection {wish.former}: still exists, so it was not renamed")
    info = held.get(wish.collection)
    if info is None:
        # A run that was killed before it removed the settings, or settings nobody wrote to.
        if wish.space or not _has_settings(storage, database, wish.collection):
            raise NotFound(f"collection {wish.collection}: is not in the database")
        return 0, None
    if not wish.space:
        server.drop(wish.collection)
        return info.count, None
    if info.space != wish.space:
        _copy(server, wish.collection, wish.space, info.dimension or 1)
    if info.dimension is None:
        # Without a record; the next writer settles the dimension.
        return info.count, None
    model = server.model(wish.collection)
    return info.count, CollectionSpec(wish.collection, info.dimension, wish.space, model)


def _has_settings(storage: Storage, database: str, collection: str) -> bool:
    try:
        return read_settings(storage, database, collection) is not None
    except Damaged:
        return True


def _copy(server: ChromaHttp, name: str, space: Space, dimension: int) -> None:
    old = server.find(name)
    new = server.create_like(name, _COPY, space)
    for page in _pages(server, old, max(1, min(_PAGE, _PAGE_NUMBERS // dimension))):
        if space == "cosine":
            _check_lengths(name, page)
        _add(server, new, page)
        if not _alike(page, server.records(new, page["ids"]), space):
            raise Damaged(f"collection {name}: the copy differs from it; nothing was changed")
    if server.count(new) != server.count(old):
        raise Damaged(f"collection {name}: the copy has another count; nothing was changed")
    server.drop(name)
    server.rename(new, name)


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


def _alike(old: dict[str, list[Any]], new: dict[str, list[Any]], space: Space) -> bool:
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
