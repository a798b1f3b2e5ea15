"""Actions that read or make changes: deltas, compaction, rebuilding, Parquet files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import console
from layersmith.errors import ConfigError
from layersmith.verbs.vectors import shared

if TYPE_CHECKING:
    import argparse

    from chroma_store.deltas.compaction import CompactionReport
    from chroma_store.storage import Storage


def deltas(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """List the pending deltas, or drop one."""
    log, _, consumed = shared.opened(args, storage)
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
    log, _, consumed = shared.opened(args, storage)
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
    shared.warn_of(report)
    return {
        "snapshot": report.pointer.snapshot_id if report.pointer else None,
        "deltas": len(report.applied),
        "records": report.records,
        "quarantined": len(report.set_aside),
        "recall": shared.recall(report),
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

    name = shared.needed(args, "collection")
    if bool(args.space) == args.remove:
        raise ConfigError("rebuild needs either --space or --remove", hint="see --help")
    if args.renamed_from == name:
        raise ConfigError(f"--renamed-from and --collection both name {name}", hint="see --help")
    log, store, consumed = shared.opened(args, storage)
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
    shared.warn_of(report.compaction)
    pointer = report.compaction.pointer
    return {
        **result,
        "records": report.records,
        "deltas": len(report.compaction.applied),
        "recall": shared.recall(report.compaction),
        "snapshot": pointer.snapshot_id if pointer else None,
    }


def export(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Write a collection to a Parquet file."""
    from chroma_store.deltas.parquet import export_collection  # noqa: PLC0415

    file, collection = shared.needed(args, "file"), shared.needed(args, "collection")
    with shared.served(args, storage) as url:
        records, problems = export_collection(url, collection, file)
    for problem in problems[:10]:
        console.warn(f"{problem}; `vectors import` refuses this record")
    return {"records": records, "refusedByImport": len(problems)}


def import_(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Write a Parquet file as deltas."""
    from chroma_store.deltas.parquet import import_collection  # noqa: PLC0415

    log, _, _ = shared.opened(args, storage)
    file, collection = shared.needed(args, "file"), shared.needed(args, "collection")
    records = import_collection(log, collection, file, space=args.space, embed=args.embed)
    return {"records": records}
