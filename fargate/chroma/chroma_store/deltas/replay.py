"""Deltas into a running server.

Changes of one record fold into one: set it, remove it, or merge into it if it exists. What is
left names each record once, so it can be sent in any order and in large batches, and sent again
after a crash without another result.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vector_common.deltas import Delta
    from vector_common.records import CollectionSpec, VectorRecord

    from chroma_store.server.client import ChromaHttp

WINDOW_RECORDS = 5000
"""Changes folded at once: 8 MB of vectors with 384 dimensions."""

# Chroma refuses more than 5,461 records a request; its speed no longer grows past some hundreds.
_BATCH = 1000


@dataclass
class Progress:
    """What has been applied so far; ``expected`` counts records by collection."""

    records: int = 0
    expected: dict[str, int] = field(default_factory=dict)


def fold(records: Iterable[VectorRecord]) -> dict[str, VectorRecord]:
    """One change a record id, with the effect of all changes in order.

    The result's ``op`` says: upsert sets the record, delete removes it, update merges into it
    where it exists.
    """
    net: dict[str, VectorRecord] = {}
    for record in records:
        before = net.get(record.id)
        if record.op != "update" or before is None:
            net[record.id] = record
        elif before.op != "delete":
            net[record.id] = _merge(before, record)
    return net


def apply_deltas(server: ChromaHttp, deltas: Iterable[Delta], progress: Progress) -> None:
    """Apply deltas in the given order, a window at a time."""
    window: list[Delta] = []
    size = 0
    for delta in deltas:
        window.append(delta)
        size += len(delta.records)
        if size >= WINDOW_RECORDS:
            _apply_window(server, window, progress)
            window, size = [], 0
    if window:
        _apply_window(server, window, progress)


def _apply_window(server: ChromaHttp, window: list[Delta], progress: Progress) -> None:
    by_spec: dict[CollectionSpec, list[VectorRecord]] = {}
    for delta in window:
        by_spec.setdefault(delta.spec, []).extend(delta.records)
    for spec, records in by_spec.items():
        collection = server.ensure(spec)
        if spec.name not in progress.expected:
            progress.expected[spec.name] = server.count(collection)
        progress.expected[spec.name] += apply(server, collection, fold(records).values())
        progress.records += len(records)


def apply(server: ChromaHttp, collection: str, net: Iterable[VectorRecord]) -> int:
    """Send folded changes; return by how much the collection grows (negative: shrinks)."""
    growth = 0
    for batch in _batches(net):
        there = server.parts(collection, [record.id for record in batch])
        sets = [record for record in batch if record.op == "upsert"]
        drops = [r.id for r in batch if r.op == "delete" and r.id in there]
        merges = [r for r in batch if r.op == "update" and r.id in there and _shape(r) != _NOTHING]
        growth += sum(record.id not in there for record in sets) - len(drops)
        # Chroma's upsert merges and cannot take a document away; a record that must lose its
        # document is removed first.
        lost = [r.id for r in sets if r.document is None and there.get(r.id, _NEW)[1]]
        if drops or lost:
            server.delete(collection, drops + lost)
        if sets:
            metadatas = [
                _replacing(r, set() if r.id in lost else there.get(r.id, _NEW)[0]) for r in sets
            ]
            server.upsert(collection, sets, metadatas)
        for _, alike in groupby(sorted(merges, key=_shape), key=_shape):
            server.update(collection, list(alike))
    return growth


_NEW: tuple[set[str], bool] = (set(), False)
_NOTHING = (False, False, False)


def _merge(before: VectorRecord, update: VectorRecord) -> VectorRecord:
    metadata = before.metadata
    if update.metadata is not None:
        metadata = {**(before.metadata or {}), **update.metadata}
    return replace(
        before,
        embedding=before.embedding if update.embedding is None else update.embedding,
        metadata=metadata,
        document=before.document if update.document is None else update.document,
    )


def _shape(record: VectorRecord) -> tuple[bool, bool, bool]:
    return record.embedding is not None, record.metadata is not None, record.document is not None


def _replacing(record: VectorRecord, keys: set[str]) -> dict[str, Any] | None:
    """The metadata to send so that no former key survives: null removes one."""
    metadata = {**dict.fromkeys(sorted(keys)), **(record.metadata or {})}
    return metadata or None


def _batches(records: Iterable[VectorRecord]) -> Iterator[Sequence[VectorRecord]]:
    iterator = iter(records)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
