"""Deltas into a running server.

Changes of one record fold into one: set it, remove it, or merge into it if it exists. What is
left names each record once, so it can be sent in any order and in large batches, and sent again
after a crash without another result. A batch that the server refuses is halved until the changes
that it does not take are found; they are set aside, and the rest goes on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from vector_common.deltas import encode_record
from vector_common.errors import BadRequest, Conflict, PayloadTooLarge

from chroma_store.deltas.quarantine import SetAside, refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vector_common.deltas import Delta
    from vector_common.records import CollectionSpec, VectorRecord

    from chroma_store.server.client import ChromaHttp, Parts

WINDOW_RECORDS = 5000
"""Changes folded at once: 8 MB of vectors with 384 dimensions."""

WINDOW_BYTES = 32 * 1024 * 1024
"""Bytes of the deltas that are folded at once."""

# Chroma refuses more than 5,461 records a request; its speed no longer grows past some hundreds.
_BATCH = 1000
_BATCH_BYTES = 8 * 1024 * 1024
"""Of UTF-8 and base64 in a request. Chroma takes 40 MiB, and JSON escapes may add to them."""

_REFUSALS = (BadRequest, PayloadTooLarge, Conflict)


@dataclass(frozen=True, slots=True)
class Change:
    """A change and the delta that it comes from."""

    delta: str
    record: VectorRecord


@dataclass
class Progress:
    """What has been applied so far; ``expected`` counts records by collection.

    ``set_aside`` has what was not, ``notes`` what its reader should know, and ``window`` the ids of
    the deltas that are being applied.
    """

    records: int = 0
    expected: dict[str, int] = field(default_factory=dict)
    set_aside: list[SetAside] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    window: tuple[str, ...] = ()


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


def apply_deltas(
    server: ChromaHttp, deltas: Iterable[Delta | SetAside], progress: Progress
) -> None:
    """Apply deltas in the given order, a window at a time; those set aside are passed on."""
    window: list[Delta] = []
    count = size = 0
    for delta in deltas:
        if isinstance(delta, SetAside):
            progress.set_aside.append(delta)
            continue
        window.append(delta)
        count += len(delta.records)
        size += delta.size
        if count >= WINDOW_RECORDS or size >= WINDOW_BYTES:
            _apply_window(server, window, progress)
            window, count, size = [], 0, 0
    if window:
        _apply_window(server, window, progress)


def _apply_window(server: ChromaHttp, window: list[Delta], progress: Progress) -> None:
    progress.window = tuple(delta.id for delta in window)
    by_spec: dict[CollectionSpec, list[Change]] = {}
    reasons: dict[tuple[str, CollectionSpec], list[tuple[bytes, str]]] = {}
    for delta in window:
        changes = by_spec.setdefault(delta.spec, [])
        changes += [Change(delta.id, record) for record in delta.records]
        if delta.refused:
            early = [(change.line, change.reason) for change in delta.refused]
            reasons[delta.id, delta.spec] = early
    models = {delta.spec.name: delta.spec.model for delta in window if delta.spec.model}
    for spec, changes in by_spec.items():
        wanted = replace(spec, model=models.get(spec.name))
        for change, reason in _apply_changes(server, wanted, changes, progress):
            line = encode_record(change.record)
            reasons.setdefault((change.delta, spec), []).append((line, reason))
    progress.set_aside += [refused(delta, spec, found) for (delta, spec), found in reasons.items()]


def _apply_changes(
    server: ChromaHttp, spec: CollectionSpec, changes: list[Change], progress: Progress
) -> list[tuple[Change, str]]:
    """Apply one collection's changes; return those that the server refuses, and why."""
    try:
        collection, space = server.ensure(spec)
    except _REFUSALS as error:
        return [(change, str(error)) for change in changes]
    if space != spec.space:
        progress.notes[spec.name] = (
            f"collection {spec.name}: calculates {space}, its deltas ask for {spec.space}; "
            "they were applied, and the collection stays unchanged"
        )
    if spec.name not in progress.expected:
        progress.expected[spec.name] = server.count(collection)
    growth, bad = apply(server, collection, changes)
    progress.expected[spec.name] += growth
    progress.records += len(changes) - len(bad)
    return bad


def apply(
    server: ChromaHttp, collection: str, changes: Iterable[Change]
) -> tuple[int, list[tuple[Change, str]]]:
    """Send changes, folded to one a record.

    Returns:
        By how much the collection grows (negative: shrinks), and the changes that the server
        refuses, each with the reason.
    """
    of_record: dict[str, list[Change]] = {}
    for change in changes:
        of_record.setdefault(change.record.id, []).append(change)
    folded = (next(iter(fold(c.record for c in group).values())) for group in of_record.values())
    growth = 0
    bad: list[tuple[Change, str]] = []
    for batch in _batches(folded):
        grown, culprits = _send(server, collection, batch)
        growth += grown
        for record, reason in culprits:
            group = of_record[record.id]
            if len(group) == 1:
                bad.append((group[0], reason))
                continue
            # Together they make one record; only some of them may be at fault.
            for change in group:
                grown, refusals = _send(server, collection, [change.record])
                growth += grown
                bad += [(change, why) for _, why in refusals]
    return growth, bad


def _send(
    server: ChromaHttp, collection: str, batch: Sequence[VectorRecord]
) -> tuple[int, list[tuple[VectorRecord, str]]]:
    there = server.parts(collection, [record.id for record in batch])
    return _send_halving(server, collection, batch, there)


def _send_halving(
    server: ChromaHttp, collection: str, batch: Sequence[VectorRecord], there: dict[str, Parts]
) -> tuple[int, list[tuple[VectorRecord, str]]]:
    """Send a batch, in halves if the server refuses it.

    Args:
        server: The server.
        collection: Its id.
        batch: Folded changes.
        there: The records before any of the batch was sent. What growth is counted from, though a
            part of the batch may have been applied before the refusal: it is sent again.
    """
    try:
        return _send_batch(server, collection, batch, there), []
    except _REFUSALS as error:
        if len(batch) == 1:
            return 0, [(batch[0], str(error))]
    middle = len(batch) // 2
    left, wrong = _send_halving(server, collection, batch[:middle], there)
    right, also = _send_halving(server, collection, batch[middle:], there)
    return left + right, wrong + also


def _send_batch(
    server: ChromaHttp, collection: str, batch: Sequence[VectorRecord], there: dict[str, Parts]
) -> int:
    sets = [record for record in batch if record.op == "upsert"]
    drops = [r.id for r in batch if r.op == "delete" and r.id in there]
    merges = [r for r in batch if r.op == "update" and r.id in there and _shape(r) != _NOTHING]
    # Chroma's upsert merges: null removes a former key, but nothing takes a document away. A record
    # that must lose its document is removed and sent again, once the server has taken it.
    lost = [r for r in sets if r.document is None and there.get(r.id, _NEW)[1]]
    if sets:
        metadatas = [_replacing(record, there.get(record.id, _NEW)[0]) for record in sets]
        server.upsert(collection, sets, metadatas)
    for _, alike in groupby(sorted(merges, key=_shape), key=_shape):
        server.update(collection, list(alike))
    if drops or lost:
        server.delete(collection, drops + [record.id for record in lost])
    if lost:
        server.upsert(collection, lost, [_replacing(record, set()) for record in lost])
    return sum(record.id not in there for record in sets) - len(drops)


_NEW: Parts = (set(), False)
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
    batch: list[VectorRecord] = []
    size = 0
    for record in records:
        more = _bytes(record)
        if batch and (len(batch) == _BATCH or size + more > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += more
    if batch:
        yield batch


def _bytes(record: VectorRecord) -> int:
    """About how many bytes of a request a record takes."""
    vector = 6 * len(record.embedding or ())
    document = len((record.document or "").encode())
    metadata = len(json.dumps(dict(record.metadata or {}), ensure_ascii=False).encode())
    return len(record.id.encode()) + vector + document + metadata
