"""MODE=compact: the task compacts the database's deltas and exits, without serving anybody."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from chroma_store.deltas.compaction import compact
from chroma_store.lease import DatabaseLease
from chroma_store.snapshots.store import PointerMoved
from chroma_store.storage import open_storage
from vector_common.errors import EXIT_DONE, FlipError, StartError, VectorError

from chroma_supervisor.logs import event, report_recall, report_set_aside

if TYPE_CHECKING:
    from chroma_supervisor.settings import Settings


def run(settings: Settings) -> int:
    """Compact the database once.

    Args:
        settings: Whose DATABASE, STORAGE_URL and DATA_DIR count here.

    Returns:
        The exit code: 0 when the pointer names a snapshot with every delta that was pending, 5
        when a session moved the pointer meanwhile (the deltas stay), 4 for anything else.
    """
    storage = open_storage(settings.storage_url)
    lease = DatabaseLease(
        storage, settings.database, settings.session_id, on_lost=lambda: None, say=event
    )
    try:
        # A flip under a running session would cost it what its clients wrote.
        lease.acquire(settings.lease_wait, lambda: False)
        report = compact(
            storage,
            settings.database,
            settings.data_dir,
            say=lambda step: event("compaction", step=step),
        )
    except PointerMoved as error:
        return _failed("FlipError", error, FlipError.exit_code)
    except (VectorError, OSError) as error:
        return _failed(type(error).__name__, error, StartError.exit_code)
    finally:
        lease.release()
    report_set_aside(report.set_aside, report.notes)
    report_recall(report.recall)
    for name, fed in report.stores.items():
        if fed.left_out:
            event("left_out", level=logging.WARNING, store=name, reasons=fed.left_out[:10])
    event(
        "report",
        sessionId=settings.session_id,
        database=settings.database,
        snapshotId=report.pointer.snapshot_id if report.pointer else None,
        flipped=report.snapshot is not None,
        deltas=len(report.applied),
        records=report.records,
        quarantined=len(report.set_aside),
        recall=[item.document() for item in report.recall],
        leftOut={name: fed.left_out_count for name, fed in report.stores.items()},
        seconds=round(report.seconds, 3),
    )
    return EXIT_DONE


def _failed(kind: str, error: Exception, code: int) -> int:
    event("failed", level=logging.ERROR, kind=kind, message=str(error))
    return code
