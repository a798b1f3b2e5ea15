"""A database from one store to another, and the proof that both hold the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vector_common.errors import Conflict, Damaged, NotFound
from vector_common.stores.state import FED

from chroma_store.deltas.compaction import compact
from chroma_store.deltas.log import DeltaLog
from chroma_store.server.process import ChromaProcess
from chroma_store.snapshots.store import SnapshotStore
from chroma_store.stores.feed import MAX_FILE_BYTES, Feed
from chroma_store.stores.index import misfit, unfit
from chroma_store.stores.proof import prove

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vector_common.stores.state import StoreName

    from chroma_store.storage import Storage
    from chroma_store.stores.dump import CollectionDump
    from chroma_store.stores.proof import Equality


@dataclass(frozen=True, slots=True)
class MigratedCollection:
    """What becomes of one collection.

    Attributes:
        collection: Its name.
        dimension: Numbers in a vector.
        space: The distance.
        records: How many it has.
        left_out: Why records or the whole collection do not fit the new store.
        left_out_count: How many records that are.
        held: How many the new store has; None before it was fed.
        recall: Of the ten nearest by exact search, the share that the store finds; None before.
        differences: Records that are not equal, in words.
    """

    collection: str
    dimension: int
    space: str
    records: int
    left_out: tuple[str, ...]
    left_out_count: int
    held: int | None = None
    recall: float | None = None
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """A migration, planned or made.

    Attributes:
        collections: Each of them.
        former: Stores that the database was in, which are fed no more.
        snapshot: The snapshot that the store holds; None for a plan.
    """

    collections: tuple[MigratedCollection, ...]
    former: tuple[StoreName, ...]
    snapshot: str | None


def plan(storage: Storage, database: str, to: StoreName, folder: Path) -> MigrationReport:
    """Say what a migration would do, from the snapshot and the pending deltas; nothing is written.

    Raises:
        NotFound: The database has no record.
    """
    store = SnapshotStore(storage, database)
    restored = store.restore(folder / "data")
    feed = Feed(storage, database, {"file": ""})
    with ChromaProcess(folder / "data") as server:
        DeltaLog(storage, database).replay(server.base_url, restored.consumed)
        feed.read(server.base_url, folder / "read")
    if not feed.dumps:
        raise NotFound(f"database {database}: has no collection, so there is nothing to migrate")
    former = tuple(name for name in FED if name != to and name in Feed(storage, database).stores)
    return MigrationReport(tuple(_line(source, to) for source in feed.dumps), former, None)


def migrate(
    storage: Storage,
    database: str,
    to: StoreName,
    folder: Path,
    *,
    bucket: str = "",
    leave_out: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> MigrationReport:
    """Feed a store, prove that it holds what the snapshot holds, and feed the former ones no more.

    A store that the database is in already is fed anew, whatever it holds.

    Run again after it was killed, it goes on: the former stores are dropped last.

    Args:
        storage: Where the database lies; its caller holds the lease.
        database: Its name.
        to: The store; a session needs none fed.
        folder: For the data.
        bucket: The S3 vector bucket.
        leave_out: Go on though records do not fit; they stay in the snapshot.
        say: Called with each step as it begins.

    Raises:
        NotFound: The database has no record, or there is no such bucket.
        Conflict: Records do not fit.
        Damaged: The store does not hold what the snapshot holds; the former ones stay.
    """
    planned = plan(storage, database, to, folder / "plan")
    misfits = sum(line.left_out_count for line in planned.collections)
    if misfits and not leave_out:
        first = next(line.left_out[0] for line in planned.collections if line.left_out)
        raise Conflict(f"{misfits} records do not fit the store {to}: {first}")
    Feed(storage, database).distrust(to)
    wanted: dict[StoreName, str] = {} if to == "session" else {to: bucket}
    report = compact(storage, database, folder / "work", stores=wanted, say=say)
    say("prove")
    feed = Feed(storage, database, say=say)
    SnapshotStore(storage, database).restore(folder / "data")
    with ChromaProcess(folder / "data") as server:
        feed.read(server.base_url, folder / "read")
    # Who goes back to sessions learns whether the store that is left was as good.
    names = [name for name in feed.stores if to in {name, "session"}]
    equal = {one.collection: one for name in names for one in prove(feed, name, folder)}
    wrong = [one for one in equal.values() if not one.holds]
    if wrong and to != "session":
        what = wrong[0].differences[0] if wrong[0].differences else f"recall {wrong[0].recall:.3f}"
        raise Damaged(f"collection {wrong[0].collection}: differs in the store {to}: {what}")
    for name in planned.former:
        say(f"drop {name}")
        feed.drop(name)
    return MigrationReport(
        tuple(_proven(line, equal.get(line.collection)) for line in planned.collections),
        planned.former,
        report.pointer.snapshot_id if report.pointer else None,
    )


def _proven(line: MigratedCollection, proof: Equality | None) -> MigratedCollection:
    if proof is None:
        return line
    return replace(line, held=proof.records, recall=proof.recall, differences=proof.differences)


def _line(source: CollectionDump, to: StoreName) -> MigratedCollection:
    left_out: list[str] = []
    count = 0
    size = 2 * source.dimension * source.count
    if to == "file" and size > MAX_FILE_BYTES:
        left_out.append(f"its vectors take {size} bytes, a file at most {MAX_FILE_BYTES}")
        count = source.count
    if to == "s3vectors" and (reason := unfit(source)):
        left_out.append(reason)
        count = source.count
    elif to == "s3vectors":
        left_out += [
            f"record {record.id[:80]!a}: {why}"
            for record in source.records()
            if (why := misfit(record, source.space))
        ]
        count = len(left_out)
    return MigratedCollection(
        source.name, source.dimension, source.space, source.count, tuple(left_out[:10]), count
    )
