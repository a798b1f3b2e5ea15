"""What passes between a session and the outside: reports, AWS clients, the health check."""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chroma_supervisor.session.state import ADMIN_PREFIX, Phase

if TYPE_CHECKING:
    from chroma_store.server.index import Recall

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 15.0
"""Seconds; every call here is small, and a session that hangs on one cannot end in time."""

ATTEMPTS = 5


HEALTH_TIMEOUT = 2.0
"""Seconds; ECS and Docker call a check that takes longer failed anyway."""


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
        counted: Whether Chroma could say what it held; ``records`` is empty if not.
        quarantined: Deltas of which something was set aside, because Chroma does not take it.
        recall: What the index of each collection finds; only of what a client or a delta changed.
    """

    snapshot_id: str | None
    flipped: bool
    records: dict[str, int]
    bytes_uploaded: int = 0
    bytes_total: int = 0
    seconds: float = 0.0
    deltas: int = 0
    quarantined: int = 0
    counted: bool = True
    recall: tuple[Recall, ...] = ()

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
            "quarantined": self.quarantined,
            "counted": self.counted,
            "recall": [item.document() for item in self.recall],
        }


class Clients:
    """Makes one client a service; safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        """The client of a service such as ``ssm``, with botocore's own region and credentials."""
        with self._lock:
            if service not in self._clients:
                from vector_common import aws  # noqa: PLC0415 - a file:// session needs none

                config = {
                    "connect_timeout": CONNECT_TIMEOUT,
                    "read_timeout": READ_TIMEOUT,
                    "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
                }
                self._clients[service] = aws.client(service, config)
            return self._clients[service]


def check_health(port: int) -> int:
    """The exit code of a health check: 0 while the session lives, 1 if it does not.

    A session that restores or that stores its snapshot is alive, though it serves nobody:
    whoever replaced it then would lose what it is about to keep.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HEALTH_TIMEOUT)
    try:
        connection.request("GET", f"{ADMIN_PREFIX}health")
        phase = json.loads(connection.getresponse().read())["phase"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return 1
    finally:
        connection.close()
    return 1 if phase == Phase.FAILED else 0
