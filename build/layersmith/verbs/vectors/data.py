"""Actions on the data of a database: its snapshots, its deltas, and what makes new ones of them."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import console
from layersmith.errors import ConfigError, ShipError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from chroma_store.deltas.compaction import CompactionReport
    from chroma_store.deltas.log import ReplayReport
    from chroma_store.storage import Storage


def deltas(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """List the pending deltas, or drop one."""
    log, _, consumed = opened(args, storage)
    if args.discard:
        return {"discarded": args.discard, "dropped": log.discard(args.discard)}
    pending = log.pending(consumed)
    return {
        "pending": len(pending),
        "bytes": sum(info.size for info in pending),
        "deltas": [
            {"delta": i.id, "bytes": i.size, "written": i.modified.isoformat()} for i in pending
        ],
    }


def show(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Show the changes of a pending delta."""
    log, _, consumed = opened(args, storage)
    pending = [info.id for info in log.pending(consumed)]
    chosen = args.delta or (pending[-1] if pending else None)
    if chosen not in pending:
        aside = next((item for item in log.quarantined() if item.delta == chosen), None)
        raise ConfigError(
            f"delta {chosen} is not pending" if chosen else "no delta is pending",
            target=args.database,
            cause=f"it lies in quarantine: {aside.reasons[0]}"
            if aside
            else "a snapshot holds its changes already"
            if chosen in consumed
            else None,
            hint="`vectors deltas` lists what is pending",
        )
    delta = log.read(chosen)
    return {
        "delta": delta.id,
        "collection": delta.spec.document(),
        "refused": [change.reason for change in delta.refused],
        "changes": [
            {
                "op": record.op,
                "id": record.id,
                "dimension": len(record.embedding) if record.embedding else None,
                "metadata": dict(record.metadata) if record.metadata else None,
                "document": record.document,
            }
            for record in delta.records
        ],
    }


def compact_(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Make a new snapshot of the current one and its deltas."""
    from chroma_store.deltas.compaction import compact  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="compaction-") as folder:
        report = compact(
            storage, args.database, Path(folder), migrate=args.migrate, say=console.info
        )
    warn_of(report)
    return {
        "snapshot": report.pointer.snapshot_id if report.pointer else None,
        "deltas": len(report.applied),
        "records": report.records,
        "quarantined": len(report.set_aside),
        "recall": recall(report),
        "uploaded": report.snapshot.bytes_uploaded if report.snapshot else 0,
        "stores": _stores(report),
        "seconds": round(report.seconds, 3),
    }


def _stores(report: CompactionReport) -> list[dict[str, object]]:
    for name, fed in report.stores.items():
        for reason in fed.left_out[:10]:
            console.warn(f"left out of the store {name}: {reason}")
    return [
        {
            "store": name,
            "records": sum(one.count for one in fed.collections.values()),
            "leftOut": fed.left_out_count,
        }
        for name, fed in report.stores.items()
    ]


def rebuild_(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Give a collection another space or index, or remove it."""
    from chroma_store.deltas.rebuild import Wish, rebuild  # noqa: PLC0415

    name = needed(args, "collection")
    if bool(args.space) == args.remove:
        raise ConfigError("rebuild needs either --space or --remove", hint="see --help")
    if args.renamed_from == name:
        raise ConfigError(f"--renamed-from and --collection both name {name}", hint="see --help")
    log, store, consumed = opened(args, storage)
    head = store.head()
    manifest = store.manifest(head, consumed=False) if head else None
    held = {info.name: info for info in manifest.collections} if manifest else {}
    info, pending = held.get(name), log.pending(consumed)
    if args.space and not info and not pending:
        raise ConfigError(
            f"there is no collection {name} in database {args.database}",
            target=args.database,
            hint=f"collections there: {', '.join(sorted(held)) or 'none'}",
        )
    result = {
        "applied": args.yes,
        "collection": name,
        "records": info.count if info else 0,
        "space": info.space if info else None,
        "newSpace": args.space,
        "removed": args.remove,
        "deltas": len(pending),
    }
    if not args.yes:
        console.info("nothing was changed; pass --yes to rebuild")
        return {**result, "snapshot": None}
    wish = Wish(name, args.space, args.renamed_from)
    with tempfile.TemporaryDirectory(prefix="rebuild-") as folder:
        report = rebuild(storage, args.database, wish, Path(folder), say=console.info)
    warn_of(report.compaction)
    pointer = report.compaction.pointer
    return {
        **result,
        "records": report.records,
        "deltas": len(report.compaction.applied),
        "recall": recall(report.compaction),
        "snapshot": pointer.snapshot_id if pointer else None,
    }


def export(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Write a collection to a Parquet file."""
    from chroma_store.deltas.parquet import export_collection  # noqa: PLC0415

    file, collection = needed(args, "file"), needed(args, "collection")
    with served(args, storage) as url:
        records, problems = export_collection(url, collection, file)
    for problem in problems[:10]:
        console.warn(f"{problem}; `vectors import` refuses this record")
    return {"records": records, "refusedByImport": len(problems)}


def import_(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Write a Parquet file as deltas."""
    from chroma_store.deltas.parquet import import_collection  # noqa: PLC0415

    log, _, _ = opened(args, storage)
    file, collection = needed(args, "file"), needed(args, "collection")
    records = import_collection(log, collection, file, space=args.space, embed=args.embed)
    return {"records": records}


def opened(args: argparse.Namespace, storage: Storage) -> tuple[Any, Any, frozenset[str]]:
    """Return the delta log of a database, its snapshots, and what the current one consumed."""
    from chroma_store.deltas.log import DeltaLog  # noqa: PLC0415
    from chroma_store.snapshots.store import SnapshotStore  # noqa: PLC0415

    store = SnapshotStore(storage, args.database)
    head = store.head()
    consumed = frozenset(store.manifest(head).consumed) if head else frozenset[str]()
    return DeltaLog(storage, args.database), store, consumed


def needed(args: argparse.Namespace, option: str) -> Any:
    """Return the value of an option that the action cannot do without.

    Raises:
        ConfigError: It was not given.
    """
    value = getattr(args, option)
    if value is None:
        raise ConfigError(f"{args.action} needs --{option}", hint="see --help")
    return value


@contextmanager
def served(args: argparse.Namespace, storage: Storage) -> Iterator[str]:
    """Serve a copy of the database with its pending deltas; give its address."""
    from chroma_store.server.process import ChromaProcess  # noqa: PLC0415

    log, store, consumed = opened(args, storage)
    with tempfile.TemporaryDirectory(prefix=f"{args.action}-") as folder:
        store.restore(Path(folder) / "data")
        with ChromaProcess(Path(folder) / "data") as server:
            warn_of(log.replay(server.base_url, consumed))
            yield server.base_url


def warn_of(report: CompactionReport | ReplayReport) -> None:
    """Warn of what was set aside."""
    for line in (*(item.summary for item in report.set_aside), *report.notes):
        console.warn(line)


def recall(report: CompactionReport) -> list[dict[str, object]]:
    """Say which indexes did not find what they hold, and return it as `--json` has it."""
    for item in report.recall:
        if item.low:
            console.warn(item.summary)
        elif item.rebuilt:
            console.info(item.summary)
    return [item.document() for item in report.recall]


def snapshot(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Make a copy of a data folder the current snapshot."""
    from chroma_store.server.process import ChromaProcess, collections  # noqa: PLC0415
    from chroma_store.snapshots.store import SnapshotStore  # noqa: PLC0415
    from chroma_store.snapshots.versions import running_version  # noqa: PLC0415

    data = needed(args, "data")
    if not (data / "chroma.sqlite3").is_file():
        raise ConfigError(f"{data} holds no chroma.sqlite3", hint="name Chroma's own folder")
    store = SnapshotStore(storage, args.database)
    with tempfile.TemporaryDirectory(prefix="snapshot-") as folder:
        # Of a copy: the server says what it holds, which proves that the files can be opened, and
        # would migrate those of an older Chroma.
        copy = Path(folder) / "data"
        shutil.copytree(data, copy)
        with ChromaProcess(copy) as server:
            held = collections(server.base_url, copy)
        report = store.snapshot(
            copy, parent=store.head(), chroma_version=running_version(), collections=held
        )
    return {
        "snapshot": report.pointer.snapshot_id,
        "generation": report.pointer.generation,
        "bytes": report.bytes_total,
        "uploaded": report.bytes_uploaded,
        "collections": {info.name: info.count for info in held},
        "seconds": round(report.seconds, 3),
    }


def restore(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Write a snapshot's files into an empty folder."""
    from chroma_store.snapshots.store import SnapshotStore  # noqa: PLC0415

    report = SnapshotStore(storage, args.database).restore(needed(args, "into"), args.snapshot)
    return {
        "snapshot": report.manifest.snapshot_id if report.manifest else None,
        "chroma": report.manifest.chroma_version if report.manifest else None,
        "bytes": report.bytes,
        "seconds": round(report.seconds, 3),
    }


def list_(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """List the kept snapshots."""
    from chroma_store.snapshots.pointer import read_pointer  # noqa: PLC0415
    from chroma_store.snapshots.store import SnapshotStore  # noqa: PLC0415

    store = SnapshotStore(storage, args.database)
    # Not `head`: where the pointer is missing, the list says what can be promoted.
    head = read_pointer(storage, args.database)
    manifests = [store.manifest(identifier, consumed=False) for identifier in store.ids()]
    return {
        "current": head.snapshot_id if head else None,
        "snapshots": [
            {
                "snapshot": m.snapshot_id,
                "current": bool(head and m.snapshot_id == head.snapshot_id),
                "created": m.created_at,
                "parent": m.parent,
                "chroma": m.chroma_version,
                "records": sum(info.count for info in m.collections),
                "bytes": m.total_bytes,
                "stored": m.stored_bytes,
            }
            for m in manifests
        ],
    }


def verify(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Read a snapshot and every pending delta whole."""
    from chroma_store.deltas.quarantine import SetAside  # noqa: PLC0415
    from chroma_store.stores import feed  # noqa: PLC0415

    log, store, consumed = opened(args, storage)
    exports = feed.verify(storage, args.database)
    snapshot = args.snapshot or store.head()
    manifest = store.verify(snapshot) if snapshot else None
    quarantined = log.quarantined()
    pending = log.pending(consumed)
    changes = 0
    for delta in log.read_ahead(pending):
        if isinstance(delta, SetAside):
            raise ShipError(
                delta.summary.replace(" set aside", ""),
                target=args.database,
                hint="compact sets it aside; `vectors deltas --discard ID` deletes it",
            )
        changes += len(delta.records)
        if delta.refused:
            console.warn(
                f"delta {delta.id}: {len(delta.refused)} changes break a rule and will be set aside"
            )
    if not (manifest or pending or quarantined):
        raise ConfigError(
            f"database {args.database} has no snapshot and no delta, so there is nothing to verify",
            target=args.database,
            hint="check --database and STORE",
        )
    for item in quarantined:
        console.warn(f"delta {item.delta}: lies in quarantine: {item.reasons[0]}")
    return {
        "snapshot": manifest.snapshot_id if manifest else None,
        "chunks": len(manifest.chunks) if manifest else 0,
        "bytes": manifest.total_bytes if manifest else 0,
        "exports": exports,
        "deltas": len(pending),
        "changes": changes,
        "quarantined": len(quarantined),
        "quarantine": [
            {
                "delta": item.delta,
                "collection": item.collection,
                "changes": item.changes,
                "reason": item.reasons[0],
            }
            for item in quarantined
        ],
    }


def promote(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Make a kept snapshot the current one."""
    from chroma_store.snapshots.store import SnapshotStore  # noqa: PLC0415

    pointer = SnapshotStore(storage, args.database).promote(needed(args, "snapshot"))
    return {"snapshot": pointer.snapshot_id, "generation": pointer.generation}


def retain(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Delete snapshots beyond the rule."""
    from chroma_store.snapshots.store import RetentionRule, SnapshotStore  # noqa: PLC0415

    rule = RetentionRule(keep_last=args.keep_last, keep_days=args.keep_days)
    report = SnapshotStore(storage, args.database).retain(rule, dry_run=not args.apply)
    return {
        "applied": args.apply,
        "kept": list(report.kept),
        "deleted": list(report.deleted),
        "packs": report.packs,
        "bytes": report.bytes,
    }
