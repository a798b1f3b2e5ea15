"""Whether the biggest snapshot fits into the time that Fargate Spot leaves.

The rates are measured in this task against this storage, because the network of a task grows
with its size and nothing else says how fast its volume, its cores and its bucket are together.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chroma_supervisor.settings import MIB, SPOT_WARNING_SECONDS

if TYPE_CHECKING:
    from chroma_store.storage import Storage

PROBE_BYTES = 4 * MIB
PROBE_PARTS = 4
"""In parallel, as a snapshot's chunks go up."""

RESERVE_SECONDS = 20.0
"""Of the two minutes: draining, stopping the server, the manifest, the flip and a slow retry."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long the biggest snapshot would take.

    Args:
        bytes_per_second: Measured upload rate over all parallel parts.
        largest_bytes: The biggest snapshot that the session accepts; 0 where it sets no bound.
    """

    bytes_per_second: float
    largest_bytes: int

    @property
    def affordable_bytes(self) -> int:
        """The most that can be uploaded in Spot's warning less the reserve."""
        return int(self.bytes_per_second * (SPOT_WARNING_SECONDS - RESERVE_SECONDS))

    @property
    def fits(self) -> bool:
        """Whether the bound is set and can be uploaded in time."""
        return 0 < self.largest_bytes <= self.affordable_bytes

    def sentence(self) -> str:
        """What an operator needs to know, with what to change."""
        rate = f"{self.bytes_per_second / 1e6:.1f} MB/s"
        most = f"{self.affordable_bytes / 1e6:.0f} MB"
        if self.largest_bytes == 0:
            return (
                f"MAX_SNAPSHOT_BYTES is not set; at the measured {rate} a snapshot of up to {most} "
                "survives Fargate Spot's two-minute warning."
            )
        wanted = f"{self.largest_bytes / 1e6:.0f} MB"
        verdict = "fits into" if self.fits else "does not fit into"
        advice = "" if self.fits else " Lower MAX_SNAPSHOT_BYTES, enlarge the task or avoid Spot."
        return (
            f"A snapshot of {wanted} {verdict} Fargate Spot's two-minute warning: at the measured "
            f"{rate}, {most} do.{advice}"
        )


def measure(storage: Storage, prefix: str, largest_bytes: int) -> Budget:
    """Upload a few megabytes of noise, time them and delete them.

    Args:
        storage: The session's storage.
        prefix: Where the probes go; no slash at the end.
        largest_bytes: MAX_SNAPSHOT_BYTES.

    Raises:
        StoreError: The storage cannot be written.
    """
    noise = os.urandom(PROBE_BYTES // PROBE_PARTS)
    keys = [f"{prefix}/{uuid.uuid4().hex}" for _ in range(PROBE_PARTS)]
    started = time.monotonic()
    try:
        with ThreadPoolExecutor(PROBE_PARTS) as pool:
            list(pool.map(lambda key: storage.put(key, noise), keys))
        seconds = time.monotonic() - started
    finally:
        with contextlib.suppress(Exception):
            storage.delete(keys)
    return Budget(PROBE_BYTES / max(seconds, 1e-6), largest_bytes)
