"""`vectors`: look after Chroma's data on S3 or in a folder."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layersmith import cache, console
from layersmith.errors import ConfigError, ShipError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from chroma_store.deltas.compaction import CompactionReport
    from chroma_store.deltas.log import ReplayReport
    from chroma_store.storage import Storage

    Action = Callable[[argparse.Namespace, Storage], dict[str, Any]]

# A flip under a running session would cost it what its clients wrote.
_FLIPS = frozenset({"snapshot", "compact", "promote", "rebuild", "migrate"})
_ASKS_FIRST = frozenset({"rebuild", "migrate"})
"""Those of them that change nothing without --yes."""

_MAKES = frozenset({"snapshot", "import", "serve"})
"""Actions with which a database begins."""

_CATCH_UP_SECONDS = 1.0
"""Between two looks of `serve` for new deltas."""

EPILOG = """\
STORE is a folder, or s3://bucket/prefix as the stack chroma exports it (StorageUrl).
snapshot, compact, promote and rebuild refuse while a session is using the database; so does serve,
after a minute.

actions:
  serve      Chroma behind the server image's proxy on this machine, with the pending deltas and
             those that come; prints its URL and token, and Ctrl-C saves a snapshot (--port,
             --token-file)
  show       the changes of a delta that no snapshot holds yet (--delta ID; else the newest)
  snapshot   make (a copy of) a data folder the current snapshot; stop its server first
  restore    write a snapshot's files into an empty folder (--snapshot ID; else the current one)
  list       the kept snapshots, the current one marked
  deltas     the changes that no snapshot holds yet; --discard ID drops one, quarantined or not
  compact    make a new snapshot of the current one and its deltas
  verify     read a snapshot whole, every pending delta and the files of stores, compare every
             checksum, and list what compaction has set aside because Chroma does not take it
  promote    make a kept snapshot the current one again
  rebuild    give a collection another space (--space), keeping its records, or a new index in the
             same space, or remove it and its settings (--remove); compacts on the way; dry run
             unless --yes
  migrate    ask the database in another store (--to): as files in functions, in S3 Vectors
             (--vector-bucket), or in sessions alone; proves that ids, metadata and documents are
             equal and measures recall@10 against exact search; dry run unless --yes
  plan       what each store costs a month, how fast it answers, and which fits: --vectors,
             --dimensions, --queries, and --sessions (batches they come in), --latency; needs
             neither STORE nor --database
  retain     delete snapshots beyond the rule; dry run unless --apply
  calibrate  thresholds of label_validation or merchant_match (--for) from labelled records: what
             share of the decisions is right, and what share of the records is decided; --file
             writes a page with the curves
  export     a collection to a Parquet file, pending deltas included
  import     a Parquet file as deltas of a collection; --embed makes the vectors of its documents
             by the embedder that EMBEDDER names

examples:
  python build/layers.py vectors serve --store data/ --database receipts
  python build/layers.py vectors list data/ --database receipts
  python build/layers.py vectors compact s3://bucket/ --database receipts
  python build/layers.py vectors plan --vectors 100000 --dimensions 384 --queries 30000
  python build/layers.py vectors migrate s3://bucket/ --database receipts --to file --yes
  python build/layers.py vectors restore s3://bucket/ --database receipts --into /tmp/chroma
  python build/layers.py vectors calibrate data/ --database receipts --collection labels
  python build/layers.py vectors export data/ --database receipts --collection items --file i.pq
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = EPILOG
    parser.add_argument(
        "action", choices=sorted([*_ACTIONS, "plan"]), metavar="ACTION", help="see below"
    )
    parser.add_argument("place", metavar="STORE", nargs="?", help="a folder, or s3://bucket/prefix")
    parser.add_argument("--store", metavar="STORE", help="the same as an option")
    parser.add_argument("--database", help="whose data")
    parser.add_argument("--snapshot", metavar="ID", help="restore, verify, promote: which one")
    parser.add_argument("--into", type=Path, metavar="DIR", help="restore: an empty folder")
    parser.add_argument("--data", type=Path, metavar="DIR", help="snapshot: Chroma's folder")
    parser.add_argument("--collection", help="calibrate, export, import, rebuild: which one")
    parser.add_argument(
        "--file", type=Path, help="export, import: a Parquet file; calibrate: a page to write"
    )
    parser.add_argument(
        "--for",
        dest="purpose",
        choices=["labels", "merchants"],
        default="labels",
        help="calibrate: label_validation or merchant_match (default labels)",
    )
    parser.add_argument(
        "--key", help="calibrate: metadata key of the label (default label, or merchant)"
    )
    parser.add_argument(
        "--precision", type=float, default=0.95, help="calibrate: wanted precision (default 0.95)"
    )
    parser.add_argument(
        "--neighbours", type=int, help="calibrate: as the function is asked for (default its own)"
    )
    parser.add_argument(
        "--sample", type=int, default=1000, help="calibrate: records to judge (default 1000)"
    )
    parser.add_argument(
        "--space",
        choices=["cosine", "l2", "ip"],
        help="import: if the file has none; rebuild: the new one; plan: which (cosine)",
    )
    parser.add_argument(
        "--remove", action="store_true", help="rebuild: delete the collection and its settings"
    )
    parser.add_argument(
        "--renamed-from", metavar="NAME", help="rebuild: also delete the settings of a former name"
    )
    parser.add_argument("--yes", action="store_true", help="rebuild, migrate: do it")
    parser.add_argument("--to", choices=["session", "file", "s3vectors"], help="migrate: the store")
    parser.add_argument(
        "--vector-bucket", default="", metavar="NAME", help="migrate: of S3 Vectors"
    )
    parser.add_argument(
        "--leave-out", action="store_true", help="migrate: go on without records that do not fit"
    )
    parser.add_argument("--vectors", type=_whole, help="plan: records in the collection")
    parser.add_argument("--dimensions", type=_whole, help="plan: numbers in a vector")
    parser.add_argument("--queries", type=_whole, help="plan: in a month")
    parser.add_argument(
        "--sessions",
        type=_whole,
        default=0,
        help="plan: batches that they come in (0: at any time)",
    )
    parser.add_argument("--latency", type=float, metavar="MS", help="plan: of an answer, at most")
    parser.add_argument("--top", type=_whole, default=10, help="plan: records in an answer (10)")
    parser.add_argument("--prices", type=Path, help="plan: JSON file with prices of your own")
    parser.add_argument(
        "--discard", metavar="ID", help="deltas: drop this one for good, its quarantine included"
    )
    parser.add_argument("--embed", action="store_true", help="import: vectors of the documents")
    parser.add_argument("--delta", metavar="ID", help="show: which one")
    parser.add_argument(
        "--port", type=int, default=8000, help="serve: on 127.0.0.1; 0 takes a free one (8000)"
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="serve: where to write the token"
    )
    parser.add_argument("--migrate", action="store_true", help="let a newer Chroma migrate a copy")
    parser.add_argument("--keep-last", type=int, default=7, help="retain: ancestors (default 7)")
    parser.add_argument("--keep-days", type=int, default=7, help="retain: by age (default 7)")
    parser.add_argument("--apply", action="store_true", help="retain: delete")


def run(args: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        ConfigError: The arguments do not fit each other.
        ShipError: The data is not in the state that was asked for, or a session is using it.
    """
    if args.action == "plan":
        return _plan(args)
    if not args.database:
        raise ConfigError(f"{args.action} needs --database", hint="see --help")
    if bool(args.place) == bool(args.store):
        raise ConfigError("vectors needs one STORE: a folder, or s3://bucket/prefix")
    args.store = args.store or args.place
    with _explained(args.database):
        from chroma_store.lease import held  # noqa: PLC0415 -- start-up time
        from chroma_store.storage import open_storage  # noqa: PLC0415

        url = args.store if "://" in args.store else Path(args.store).absolute().as_uri()
        storage = open_storage(url)
        _check_database(storage, args)
        flips = args.action in _FLIPS and (args.action not in _ASKS_FIRST or args.yes)
        name = f"vectors-{args.action}"
        with held(storage, args.database, name) if flips else nullcontext():
            result = _ACTIONS[args.action](args, storage)
    if args.json:
        console.emit_json(result)
    else:
        # Drawn already.
        _print({k: v for k, v in result.items() if k not in {"curve", "points"}})
    return 0


def _check_database(storage: Storage, args: argparse.Namespace) -> None:
    """Refuse a database that is not in the store, unless the action makes one."""
    from vector_common.names import base, lease_key  # noqa: PLC0415

    lease = lease_key(args.database)
    if any(info.key != lease for info in storage.list(f"{base(args.database)}/")):
        return
    if args.action in _MAKES:
        console.info(f"database {args.database} is new")
        return
    found = ", ".join(storage.folders("databases/")) or "none"
    raise ConfigError(
        f"there is no database {args.database} in {args.store}",
        target=args.database,
        hint=f"databases there: {found}; check --database and STORE",
    )


@contextmanager
def _explained(database: str) -> Iterator[None]:
    """Turn what the data packages raise into this tool's errors."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from vector_common.errors import BadRequest, VectorError  # noqa: PLC0415

    try:
        yield
    except BadRequest as error:
        raise ConfigError(str(error), target=database) from error
    except VectorError as error:
        cause, hint = None, "run it again" if error.retryable else None
        if isinstance(error.__cause__, BotoCoreError | ClientError):
            cause, hint = _aws_says(error.__cause__)
        raise ShipError(str(error), target=database, cause=cause, hint=hint) from error


def _aws_says(error: Exception) -> tuple[str | None, str | None]:
    """Return the likely cause and the next step for a failed call of S3."""
    from layersmith.ship.aws.failures import AwsFailure, explained  # noqa: PLC0415

    try:
        with explained("", "s3"):
            raise error
    except AwsFailure as failure:
        return failure.cause, failure.hint


def _snapshot(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    from chroma_store.server.process import ChromaProcess, collections  # noqa: PLC0415
    from chroma_store.snapshots.store import SnapshotStore  # noqa: PLC0415
    from chroma_store.snapshots.versions import running_version  # noqa: PLC0415

    data = _needed(args, "data")
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


def _restore(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    from chroma_store.snapshots.store import SnapshotStore  # noqa: PLC0415

    report = SnapshotStore(storage, args.database).restore(_needed(args, "into"), args.snapshot)
    return {
        "snapshot": report.manifest.snapshot_id if report.manifest else None,
        "chroma": report.manifest.chroma_version if report.manifest else None,
        "bytes": report.bytes,
        "seconds": round(report.seconds, 3),
    }


def _list(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
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


def _deltas(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    log, _, consumed = _open(args, storage)
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


def _show(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    log, _, consumed = _open(args, storage)
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


def _serve(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    """Serve a database until Ctrl-C; `chroma_supervisor.local` is the session behind it."""
    from chroma_supervisor.local import LocalSession, serve  # noqa: PLC0415
    from vector_common.errors import SupervisorError  # noqa: PLC0415

    started: list[LocalSession] = []

    def ready(session: LocalSession) -> None:
        started.append(session)
        if not args.json:
            console.emit_text(f"url: {session.address}\ntoken: {session.token}")
        console.success(f"database {args.database} answers at {session.address}; Ctrl-C saves it")
        console.info(
            "for functions: "
            f"export CHROMA_URL={session.address} CHROMA_TOKEN_REFERENCE={session.token_reference}"
        )

    try:
        report = serve(
            storage.url,
            args.database,
            port=args.port,
            token_file=args.token_file,
            catch_up_seconds=_CATCH_UP_SECONDS,
            ready=ready,
            say=console.info,
            warn=console.warn,
        )
    except SupervisorError as error:
        hint = None if started else "--port chooses another port; a killed session counts for 60 s"
        raise ShipError(str(error), target=args.database, hint=hint) from error
    return {
        "url": started[0].address if started else None,
        "snapshot": report["snapshotId"],
        "saved": report["flipped"],
        "deltas": report["deltas"],
        "collections": report["records"],
    }


def _compact(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    from chroma_store.deltas.compaction import compact  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="compaction-") as folder:
        report = compact(
            storage, args.database, Path(folder), migrate=args.migrate, say=console.info
        )
    _warn(report)
    return {
        "snapshot": report.pointer.snapshot_id if report.pointer else None,
        "deltas": len(report.applied),
        "records": report.records,
        "quarantined": len(report.set_aside),
        "recall": _recall(report),
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


def _verify(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    from chroma_store.deltas.quarantine import SetAside  # noqa: PLC0415
    from chroma_store.stores import feed  # noqa: PLC0415

    log, store, consumed = _open(args, storage)
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


def _warn(report: CompactionReport | ReplayReport) -> None:
    for line in (*(item.summary for item in report.set_aside), *report.notes):
        console.warn(line)


def _recall(report: CompactionReport) -> list[dict[str, object]]:
    for item in report.recall:
        if item.low:
            console.warn(item.summary)
        elif item.rebuilt:
            console.info(item.summary)
    return [item.document() for item in report.recall]


def _promote(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    from chroma_store.snapshots.store import SnapshotStore  # noqa: PLC0415

    pointer = SnapshotStore(storage, args.database).promote(_needed(args, "snapshot"))
    return {"snapshot": pointer.snapshot_id, "generation": pointer.generation}


def _rebuild(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    from chroma_store.deltas.rebuild import Wish, rebuild  # noqa: PLC0415

    name = _needed(args, "collection")
    if bool(args.space) == args.remove:
        raise ConfigError("rebuild needs either --space or --remove", hint="see --help")
    if args.renamed_from == name:
        raise ConfigError(f"--renamed-from and --collection both name {name}", hint="see --help")
    log, store, consumed = _open(args, storage)
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
    _warn(report.compaction)
    pointer = report.compaction.pointer
    return {
        **result,
        "records": report.records,
        "deltas": len(report.compaction.applied),
        "recall": _recall(report.compaction),
        "snapshot": pointer.snapshot_id if pointer else None,
    }


def _migrate(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    from chroma_store.stores import migrate  # noqa: PLC0415

    to = _needed(args, "to")
    with tempfile.TemporaryDirectory(prefix="migrate-") as name:
        folder = Path(name)
        if args.yes:
            report = migrate.migrate(
                storage,
                args.database,
                to,
                folder,
                bucket=args.vector_bucket,
                leave_out=args.leave_out,
                say=console.info,
            )
        else:
            report = migrate.plan(storage, args.database, to, folder)
    for line in report.collections:
        for reason in (*line.left_out, *line.differences):
            console.warn(f"{line.collection}: {reason}")
    if args.yes:
        console.info(
            f"let the stage ask it there: `databases: {{{args.database}: {to}}}` in its file, and "
            "deploy"
        )
    else:
        console.info("nothing was changed; pass --yes to migrate")
    return {
        "applied": args.yes,
        "to": to,
        "former": list(report.former),
        "snapshot": report.snapshot,
        "collections": [asdict(line) for line in report.collections],
    }


def _plan(args: argparse.Namespace) -> int:
    """Print what each store costs and how fast it answers."""
    from layersmith.ship.cost import billing, vectors  # noqa: PLC0415

    prices = billing.load(args.prices)
    work = vectors.Workload(
        _needed(args, "vectors"),
        _needed(args, "dimensions"),
        _needed(args, "queries"),
        args.sessions,
        args.latency,
        args.space or "cosine",
        args.top,
    )
    plans = vectors.plan(work, prices)
    why = vectors.reason(work, plans)
    best = None if plans[0].misfits else plans[0].store
    if args.json:
        stores = [{**asdict(one), "cost": one.cost} for one in plans]
        console.emit_json(
            {
                "stores": stores,
                "recommended": best,
                "reason": why,
                "currency": prices.currency,
                "prices": prices.date,
                "sources": vectors.SOURCES,
            }
        )
        return 0
    rows = [
        (
            one.store,
            f"{one.cost:,.2f}",
            f"{one.loading:,.2f}",
            _seconds(one.first_ms),
            _seconds(one.warm_ms),
            "; ".join(one.misfits) or "yes",
            one.limits,
        )
        for one in plans
    ]
    headings = ("store", "a month", "loading", "first answer", "warm query", "fits", "limits")
    title = f"{prices.currency}, prices of {prices.date}"
    console.stdout().print(console.table(headings, rows, right=headings[1:5], title=title))
    console.emit_text(f"recommended: {best or 'none'}: {why}")
    console.info(f"sources: {vectors.SOURCES}; each price's source is in prices.json")
    return 0


def _seconds(milliseconds: float) -> str:
    if milliseconds < 1000:
        return f"{milliseconds:.3g} ms"
    return f"{milliseconds / 1000:.3g} s"


def _whole(text: str) -> int:
    """A number of zero or more, as an argument."""
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _retain(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
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


def _export(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    from chroma_store.deltas.parquet import export_collection  # noqa: PLC0415

    file, collection = _needed(args, "file"), _needed(args, "collection")
    with _served(args, storage) as url:
        records, problems = export_collection(url, collection, file)
    for problem in problems[:10]:
        console.warn(f"{problem}; `vectors import` refuses this record")
    return {"records": records, "refusedByImport": len(problems)}


@contextmanager
def _served(args: argparse.Namespace, storage: Storage) -> Iterator[str]:
    """Serve a copy of the database with its pending deltas; give its address."""
    from chroma_store.server.process import ChromaProcess  # noqa: PLC0415

    log, store, consumed = _open(args, storage)
    with tempfile.TemporaryDirectory(prefix=f"{args.action}-") as folder:
        store.restore(Path(folder) / "data")
        with ChromaProcess(Path(folder) / "data") as server:
            _warn(log.replay(server.base_url, consumed))
            yield server.base_url


def _calibrate(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    from chroma_store.calibration import calibrate  # noqa: PLC0415
    from chroma_store.server.client import ChromaHttp  # noqa: PLC0415
    from vector_common.search.neighbours import MOST  # noqa: PLC0415

    labels = args.purpose == "labels"
    count = (10 if labels else 20) if args.neighbours is None else args.neighbours
    if not 1 <= count < MOST or not 0 < args.precision <= 1 or args.sample < 1:
        raise ConfigError(
            f"calibrate needs --neighbours of 1 to {MOST - 1}, --precision above 0 and up to 1, "
            "and --sample of at least 1",
            hint="see --help",
        )
    collection = _needed(args, "collection")
    key = args.key or ("label" if labels else "merchant")
    with _served(args, storage) as url:
        made = calibrate(
            ChromaHttp(url),
            collection,
            args.purpose,
            key,
            precision=args.precision,
            neighbours=count,
            sample=args.sample,
        )
    result = {
        "kind": made.kind,
        "parameter": "minSimilarity" if labels else "match",
        "collection": collection,
        "labelled": made.labelled,
        "names": made.names,
        "asked": made.points[0].asked,
        "precision": args.precision,
        "proposal": made.proposal.document() if made.proposal else None,
        "curve": [point.document() for point in made.curve()],
        "points": [point.document() for point in made.points],
    }
    _draw(args, result)
    return result


def _draw(args: argparse.Namespace, result: dict[str, Any]) -> None:
    """Draw what a calibration found, in the terminal and as a page."""
    from layersmith.report import bars  # noqa: PLC0415

    if args.file:
        cache.write_text(args.file, bars.threshold_page(result))
        console.info(f"wrote {args.file}")
    if not args.json:
        console.stdout().print(bars.thresholds(result))
    if not result["proposal"]:
        console.warn(
            f"no {result['parameter']} decides 20 of the {result['asked']} records with a "
            f"precision of {result['precision']:.1%}; look at wrongly labelled records, or lower "
            "--precision"
        )


def _import(args: argparse.Namespace, storage: Storage) -> dict[str, Any]:
    from chroma_store.deltas.parquet import import_collection  # noqa: PLC0415

    log, _, _ = _open(args, storage)
    file, collection = _needed(args, "file"), _needed(args, "collection")
    records = import_collection(log, collection, file, space=args.space, embed=args.embed)
    return {"records": records}


_ACTIONS: dict[str, Action] = {
    "calibrate": _calibrate,
    "compact": _compact,
    "deltas": _deltas,
    "export": _export,
    "import": _import,
    "list": _list,
    "migrate": _migrate,
    "promote": _promote,
    "rebuild": _rebuild,
    "restore": _restore,
    "retain": _retain,
    "serve": _serve,
    "show": _show,
    "snapshot": _snapshot,
    "verify": _verify,
}


def _open(args: argparse.Namespace, storage: Storage) -> tuple[Any, Any, frozenset[str]]:
    from chroma_store.deltas.log import DeltaLog  # noqa: PLC0415
    from chroma_store.snapshots.store import SnapshotStore  # noqa: PLC0415

    store = SnapshotStore(storage, args.database)
    head = store.head()
    consumed = frozenset(store.manifest(head).consumed) if head else frozenset[str]()
    return DeltaLog(storage, args.database), store, consumed


def _needed(args: argparse.Namespace, option: str) -> Any:
    value = getattr(args, option)
    if value is None:
        raise ConfigError(f"{args.action} needs --{option}", hint="see --help")
    return value


def _print(result: dict[str, Any]) -> None:
    for key, value in result.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = [["" if cell is None else str(cell) for cell in row.values()] for row in value]
            console.stdout().print(console.table(list(value[0]), rows))
        else:
            console.emit_text(f"{key}: {value}")
