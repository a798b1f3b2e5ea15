"""Where a database lies, and what reading and writing it may cost its process.

The interface itself lives in vector_common, because the functions write deltas with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from vector_common.storage import Storage, open_storage
from vector_common.storage.objects import Blob, ObjectInfo

__all__ = ["Blob", "ObjectInfo", "Storage", "TransferLimits", "open_storage"]


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """Bounds of transfers.

    Attributes:
        threads: Transfers at once; each holds about 16 MiB.
        max_bytes: The largest snapshot, uncompressed, that is taken or restored. The default is
            Fargate's largest ephemeral storage.
    """

    threads: int = 8
    max_bytes: int = 200 * 1024**3
