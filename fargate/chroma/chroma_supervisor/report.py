"""What a snapshot left behind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Report:
    """What the session, or a checkpoint of it, left behind.

    Args:
        snapshot_id: The database's snapshot after it; None if it never had one.
        flipped: Whether this session has just made it.
        records: Records by collection when the server stopped.
        bytes_uploaded: Bytes that went to the storage for it.
        bytes_total: Bytes of the snapshot.
        seconds: From the first byte read to the flip.
        deltas: Deltas that are now in the snapshot.
    """

    snapshot_id: str | None
    flipped: bool
    records: dict[str, int]
    bytes_uploaded: int = 0
    bytes_total: int = 0
    seconds: float = 0.0
    deltas: int = 0

    def document(self) -> dict[str, object]:
        """The report as Step Functions and the log get it."""
        return {
            "snapshotId": self.snapshot_id,
            "flipped": self.flipped,
            "records": self.records,
            "bytesUploaded": self.bytes_uploaded,
            "bytesTotal": self.bytes_total,
            "snapshotSeconds": round(self.seconds, 3),
            "deltas": self.deltas,
        }
