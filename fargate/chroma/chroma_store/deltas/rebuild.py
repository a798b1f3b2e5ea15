"""A collection with another space, or none: what Chroma cannot change in place.

The change is made on the restored copy of a compaction, so nobody sees half of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vector_common.deltas import drop_settings, read_settings, write_settings
from vector_common.errors import Conflict, Damaged, NotFound
from vector_common.records import CollectionSpec

from chroma_store.deltas.compaction import compact
from chroma_store.server.client import ChromaHttp
from chroma_store.server.index import replace_by_copy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vector_common.records import Space

    from chroma_store.deltas.compaction import CompactionReport
    from chroma_store.storage import Storage


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
    if info.count or info.space != wish.space:
        replace_by_copy(server, info, wish.space)
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
