"""What a store may cost its process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of transfers.

    Attributes:
        threads: Transfers at once; each holds about 16 MiB.
        max_bytes: The largest snapshot, uncompressed, that is taken or restored. The default is
            Fargate's largest ephemeral storage.
    """

    threads: int = 8
    max_bytes: int = 200 * 1024**3
