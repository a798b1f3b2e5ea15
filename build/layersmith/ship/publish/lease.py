"""One publisher a region at a time, by a lease on an object in the region's artifact bucket.

It is `vector_common.conditional`'s lease: every write names the version that it replaces, and age
is told by S3's clock alone, so that a runner with a wrong clock neither steals a lock nor keeps
one. The object is never deleted: a free lock is one that says so.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chroma_store.periodic import Periodic
from vector_common.conditional import ExpiringLease, LeaseLost
from vector_common.errors import StoreError, VectorError
from vector_common.storage.s3 import S3Storage

from layersmith import console
from layersmith.ship.aws import buckets, failures
from layersmith.ship.aws.failures import AwsFailure, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layersmith.ship.aws.accounts import Aws

LIFETIME = 180.0
"""Seconds that a lock counts after its last renewal."""

RENEWAL = 30.0
"""Seconds between two renewals, which a thread makes however long a step takes."""

POLL = 2.0
"""Seconds between two looks at a lock that somebody else holds, jittered by half."""


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


@dataclass(frozen=True)
class Owner:
    """Who holds a lock: a process. Two legs of one job's matrix are two.

    Attributes:
        host: Name of the machine, for people.
        pid: Process on that machine.
        boot: Boot of that machine, so that a process number is not taken for another's.
        holder: Differs from process to process.
    """

    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    boot: str = field(default_factory=_boot)
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)

    def outlives(self, told: Mapping[str, Any]) -> bool:
        """Whether a holder, as its lock tells of it, is known to be gone.

        Args:
            told: The lock's content. Up to version 0.1 a free one said ``free``.
        """
        if told.get("free"):
            return True
        here = (told.get("host"), told.get("boot")) == (self.host, self.boot)
        return here and isinstance(told.get("pid"), int) and not _alive(told["pid"])


@dataclass
class RegionLease:
    """A lock that is held, and renewed by a thread.

    Attributes:
        region: The region.
        lease: The lease on the object.
        lost: Whether another run has taken it.
    """

    region: str
    lease: ExpiringLease
    lost: bool = False

    def check(self) -> None:
        """Make sure that the region is still this run's.

        Raises:
            AwsFailure: The lock has passed to somebody else; the region must be left alone.
        """
        if self.lost:
            raise AwsFailure(
                Kind.REJECTED,
                f"{self.region}: the publishing lock was taken by another run",
                region=self.region,
                action=None,
            )

    def renew(self) -> bool:
        """Say that the work goes on; return whether it may."""
        try:
            self.lease.renew()
        except LeaseLost:
            self.lost = True
        except VectorError as problem:
            # It counts for what is left of it, and the next renewal may succeed.
            console.warn(f"{self.region}: the publishing lock was not renewed: {problem}")
        return not self.lost


@contextlib.contextmanager
def held(aws: Aws, region: str, bucket: str, *, wait: float, owner: Owner) -> Iterator[RegionLease]:
    """Hold the region's lock while the block runs.

    Args:
        aws: Clients of the account.
        region: The region.
        bucket: Its artifact bucket.
        wait: Seconds to wait for another run before the region is given up.
        owner: Who asks.

    Raises:
        AwsFailure: Another run holds the lock for longer than that.
    """
    store = S3Storage(bucket, buckets.LOCKS.rstrip("/"), client=aws.s3(region))
    lease = ExpiringLease(
        store,
        "publish.json",
        lambda _: asdict(owner),
        seconds=LIFETIME,
        passes=owner.outlives,
    )
    _take(lease, region, wait)
    held_now = RegionLease(region, lease)
    renewal = Periodic(held_now.renew, RENEWAL, f"publishing lock of {region}", at_once=False)
    renewal.start()
    try:
        yield held_now
    finally:
        renewal.stop()
        with contextlib.suppress(VectorError):  # it expires by itself
            lease.release()


def _take(lease: ExpiringLease, region: str, wait: float) -> None:
    deadline = time.monotonic() + wait
    while (holder := _try(lease, region)) is not None:
        if time.monotonic() >= deadline:
            who = f"process {holder['pid']} on {holder['host']}" if "pid" in holder else "a run"
            raise AwsFailure(
                Kind.REJECTED, f"{region}: {who} is publishing here", region=region, action=None
            )
        time.sleep(POLL * random.uniform(0.5, 1.5))


def _try(lease: ExpiringLease, region: str) -> Mapping[str, Any] | None:
    with failures.explained(region, "s3"):
        try:
            return lease.take()
        except StoreError as problem:
            if isinstance(problem.__cause__, Exception):
                raise problem.__cause__ from None
            raise AwsFailure(
                Kind.REJECTED, f"{region}: {problem}", region=region, action=None
            ) from problem


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
