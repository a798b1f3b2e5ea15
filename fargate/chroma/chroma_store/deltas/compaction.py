"""Compaction: the current snapshot and its pending deltas become the next snapshot."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vector_common.errors import Damaged

from chroma_store.deltas.log import DeltaLog
from chroma_store.server.client import ChromaHttp
from chroma_store.server.index import repair
from chroma_store.server.process import ChromaProcess, collections, places
from chroma_store.snapshots.store import SnapshotStore
from chroma_store.snapshots.versions import running_version
from chroma_store.stores.feed import Feed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vector_common.stores.state import FedStore, StoreName

    from chroma_store.deltas.log import ReplayReport
    from chroma_store.deltas.quarantine import SetAside
    from chroma_store.server.index import Recall
    from chroma_store.snapshots.manifest import CollectionInfo, SnapshotManifest
    from chroma_store.snapshots.store import Pointer, SnapshotReport, TransferLimits
    from chroma_store.storage import Storage


@dataclass(frozen=True, slots=True)
class CompactionReport:
    """What a compaction did.

    Attributes:
        pointer: The current pointer after it; None only for a database without data.
        applied: Ids of the deltas that are in the new snapshot; empty if none were pending.
        records: Changes in them.
        dropped: Objects of deltas that were deleted, left-overs of a killed run among them.
        snapshot: What the new snapshot cost; None if none was needed.
        set_aside: Changes that Chroma does not take, which lie in quarantine now.
        notes: What else its reader should know, one sentence a collection.
        recall: What the index of each collection finds; empty if no snapshot was needed.
        seconds: It took.
        stores: What the stores beside the snapshot have now.
    """

    pointer: Pointer | None
    applied: tuple[str, ...]
    records: int
    dropped: int
    snapshot: SnapshotReport | None
    set_aside: tuple[SetAside, ...]
    notes: tuple[str, ...]
    recall: tuple[Recall, ...]
    seconds: float
    stores: Mapping[StoreName, FedStore] = field(default_factory=dict)


def compact(
    storage: Storage,
    database: str,
    work_dir: Path,
    *,
    migrate: bool = False,
    limits: TransferLimits | None = None,
    say: Callable[[str], None] = lambda _: None,
    change: Callable[[str], None] | None = None,
    stores: Mapping[StoreName, str] | None = None,
) -> CompactionReport:
    """Restore, replay in order, verify, repair, snapshot, flip, feed the stores, drop the deltas.

    Killed anywhere, the next run starts over from the pointer: before the flip nothing has
    changed, after it the manifest lists what it contains, and a store that was not fed is behind.
    A run with nothing pending feeds the stores that are.

    Args:
        storage: Where the database lies.
        database: Its name.
        work_dir: A folder with room for the data; a folder inside it is made and removed.
        migrate: Let a newer Chroma migrate the (copied) data.
        limits: What transfers may cost.
        say: Called with each step as it begins.
        change: What else to do to the records; called with the server's address once the replay
            has been verified. Without it nothing is done where no delta is pending.
        stores: Stores to feed from now on, see `stores.feed.Feed`.

    Raises:
        PointerMoved: Another writer was first; the deltas stay.
        Damaged: The snapshot is not what it should be, or the counts do not come out.
        Unavailable, StoreError: Chroma or the store failed; run it again.
    """
    started = time.monotonic()
    store, log = SnapshotStore(storage, database, limits=limits), DeltaLog(storage, database)
    head = store.head()
    done = frozenset(store.manifest(head).consumed) if head else frozenset[str]()
    feed = Feed(storage, database, stores or {}, say)
    behind = feed.behind(head.snapshot_id if head else None)
    if not change and not behind and not log.has_pending(done):
        say("nothing pending")
        return CompactionReport(
            head, (), 0, log.drop(done), None, (), (), (), time.monotonic() - started, feed.stores
        )
    work_dir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="compaction-", dir=work_dir))
    try:
        pointer, replayed, recall, taken = _rebuild(
            store, log, folder, feed, migrate=migrate, change=change
        )
        if pointer:
            feed.publish(pointer.snapshot_id, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say("drop")
    dropped = log.drop(taken.manifest.consumed if taken else done)
    seconds = time.monotonic() - started
    return CompactionReport(
        pointer,
        replayed.applied,
        replayed.records,
        dropped,
        taken,
        replayed.set_aside,
        replayed.notes,
        recall,
        seconds,
        feed.stores,
    )


def check_counts(
    found: list[CollectionInfo], expected: dict[str, int], *, what: str, complete: bool = False
) -> None:
    """Raise Damaged unless every expected collection has its number of records.

    Args:
        found: What the server holds.
        expected: Numbers by collection.
        what: Says in the message where the numbers come from.
        complete: Whether there may be no other collection.
    """
    counts = {info.name: info.count for info in found}
    wrong = {name: n for name, n in expected.items() if counts.get(name) != n}
    if wrong or (complete and counts.keys() - expected.keys()):
        raise Damaged(f"counts: the server has {counts}, {what} says {expected}")


def _rebuild(
    store: SnapshotStore,
    log: DeltaLog,
    folder: Path,
    feed: Feed,
    *,
    migrate: bool,
    change: Callable[[str], None] | None,
) -> tuple[Pointer | None, ReplayReport, tuple[Recall, ...], SnapshotReport | None]:
    version, data_dir, say = running_version(), folder / "data", feed.say
    say("restore")
    restored = store.restore(data_dir, chroma_version=version, migrate=migrate)
    say("serve")
    with ChromaProcess(data_dir) as server:
        if restored.manifest and restored.manifest.counted:
            _check_restored(server, restored.manifest)
        say("replay")
        replayed = log.replay(server.base_url, restored.consumed)
        say("verify")
        holds = collections(server.base_url, data_dir)
        check_counts(holds, replayed.expected, what="the replay")
        if change:
            change(server.base_url)
        feeds_only = not change and not replayed.applied
        # Only a store is behind: the server holds what the current snapshot holds.
        if not feeds_only:
            say("recall")
        recall = () if feeds_only else _repair(server)
        holds = collections(server.base_url, data_dir)
        feed.read(server.base_url, folder / "read")
        say("stop")
    if feeds_only:
        return restored.pointer, replayed, (), None
    log.set_aside(replayed.set_aside)
    say("snapshot")
    taken = store.snapshot(
        data_dir,
        parent=restored.pointer,
        chroma_version=version,
        collections=holds,
        consumed=replayed.applied,
    )
    return taken.pointer, replayed, recall, taken


def _repair(server: ChromaProcess) -> tuple[Recall, ...]:
    """Measure every index, and make those anew that find too little."""
    found: list[Recall] = []
    for place in places(server.data_dir):
        http = ChromaHttp(server.base_url, place=place)
        found += [repair(http, info) for info in http.collections()]
    return tuple(found)


def _check_restored(server: ChromaProcess, manifest: SnapshotManifest) -> None:
    expected = {info.name: info.count for info in manifest.collections}
    found = collections(server.base_url, server.data_dir)
    # Manifests of earlier versions do not list the collections of Chroma's other tenants.
    known = [info for info in found if "/" not in info.name or info.name in expected]
    check_counts(known, expected, what="the manifest", complete=True)
