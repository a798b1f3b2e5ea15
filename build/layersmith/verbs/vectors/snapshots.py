"""Actions on whole snapshots: make, restore, list, verify, promote and retain them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import console
from layersmith.errors import ConfigError, ShipError
from layersmith.verbs.vectors import shared

if TYPE_CHECKING:
    import argparse

    from chroma_store.storage import Storage


def snapshot(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Make a copy of a data folder the current snapshot."""
    from chroma_store.server.process import ChromaProcess, collections  # noqa: PLC0415
    from chroma_store.snapshots.store import SnapshotStore  # noqa: PLC0415
    from chroma_store.snapshots.versions import running_version  # noqa: PLC0415

    data = shared.needed(args, "data")
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

    report = SnapshotStore(storage, args.database).restore(
        shared.needed(args, "into"), args.snapshot
    )
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

    log, store, consumed = shared.opened(args, storage)
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

    pointer = SnapshotStore(storage, args.database).promote(shared.needed(args, "snapshot"))
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
