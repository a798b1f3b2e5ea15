"""One publisher a region at a time, by conditional writes on an object in the artifact bucket.

Every change of the object names the ETag it replaces (S3 conditional writes), so that of two
runs exactly one succeeds. The object is never deleted: a free lock is one that says so. Age is
told by S3's clock alone, so that a runner with a wrong clock neither steals a lock nor keeps one.
"""

from __future__ import annotations

import json
import os
import random
import socket
import time
import uuid
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layersmith.ship.aws import buckets, failures
from layersmith.ship.aws.failures import AwsFailure, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3.client import S3Client

    from layersmith.ship.aws.clients import Aws

LIFETIME = 900.0
"""Seconds a lock is honoured without being renewed; longer than one upload of 50 MB takes."""

POLL = 2.0
"""Seconds between two looks at a lock that somebody else holds, jittered by half."""


NONCE = "nonce"
"""Key of a random value that makes every write of the lock different."""


@dataclass(frozen=True)
class Owner:
    """Who holds a lock.

    Attributes:
        run: Differs from run to run; the re-run of a GitHub job keeps it.
        host: Name of the machine, for people.
        pid: Process on that machine.
        boot: Boot of that machine, so that a process number is not taken for another's.
    """

    run: str
    host: str
    pid: int
    boot: str

    @staticmethod
    def current() -> Owner:
        """Return this process as an owner."""
        job = [os.environ.get(n, "") for n in ("GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_JOB")]
        run = "/".join(job) if all(job) else uuid.uuid4().hex
        return Owner(run, socket.gethostname(), os.getpid(), _boot())

    def gives_way_to(self, other: Owner) -> bool:
        """Whether this owner is known to be gone: the same job again, or a process that died."""
        if self.run == other.run:
            return True
        return (self.host, self.boot) == (other.host, other.boot) and not _alive(self.pid)


@dataclass
class RegionLease:
    """A lock that is held."""

    s3: S3Client
    bucket: str
    key: str
    region: str
    owner: Owner
    etag: str

    def renew(self) -> None:
        """Say that the work goes on.

        Raises:
            AwsFailure: The lock has passed to somebody else; the region must be left alone.
        """
        self._write(asdict(self.owner))

    def release(self) -> None:
        """Give the lock back; one that has passed to somebody else is left alone."""
        try:
            self._write({"free": True})
        except AwsFailure:
            return

    def _write(self, content: dict[str, Any]) -> None:
        with failures.explained(self.region, "s3"):
            etag = _put(self.s3, self.bucket, self.key, content, self.etag)
        if etag is None:
            raise AwsFailure(
                Kind.REJECTED,
                f"{self.region}: the publishing lock was taken by another run",
                region=self.region,
                action=None,
            )
        self.etag = etag


@contextmanager
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
    s3, key = aws.s3(region), f"{buckets.LOCKS}publish.json"
    deadline = time.monotonic() + wait
    while True:
        with failures.explained(region, "s3"):
            etag, holder = _try(s3, bucket, key, owner)
        if etag is not None:
            break
        if time.monotonic() >= deadline:
            raise _busy(region, holder)
        time.sleep(POLL * random.uniform(0.5, 1.5))
    lease = RegionLease(s3, bucket, key, region, owner, etag)
    try:
        yield lease
    finally:
        lease.release()


def _busy(region: str, holder: Owner | None) -> AwsFailure:
    who = f"process {holder.pid} on {holder.host}" if holder else "another run"
    return AwsFailure(
        Kind.REJECTED, f"{region}: {who} is publishing here", region=region, action=None
    )


def _try(s3: S3Client, bucket: str, key: str, owner: Owner) -> tuple[str | None, Owner | None]:
    """Try once; return the ETag if the lock is ours, else who holds it."""
    try:
        answer = s3.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if not failures.is_missing(error):
            raise
        return _put(s3, bucket, key, asdict(owner), None), None
    content = json.loads(answer["Body"].read())
    del content[NONCE]
    holder = None if content.get("free") else Owner(**content)
    if holder and not holder.gives_way_to(owner) and _age(answer) < LIFETIME:
        return None, holder
    return _put(s3, bucket, key, asdict(owner), answer["ETag"]), holder


def _age(answer: Any) -> float:
    """Return the seconds since the object was written, by the clock of S3."""
    now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    # RFC 9110 dates are in UTC, whichever way a server spells it.
    return float((now.replace(tzinfo=UTC) - answer["LastModified"]).total_seconds())


def _put(
    s3: S3Client, bucket: str, key: str, content: dict[str, Any], etag: str | None
) -> str | None:
    """Write if the object is what it was; return its new ETag, or None if somebody was first."""
    condition: dict[str, Any] = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
    # Equal contents have one ETag, and a condition on it would say nothing: hence the nonce.
    body = json.dumps({**content, NONCE: uuid.uuid4().hex}).encode()
    try:
        return s3.put_object(Bucket=bucket, Key=key, Body=body, **condition)["ETag"]
    except ClientError as error:
        if not failures.is_conflict(error) and not failures.is_missing(error):
            raise
    # If the answer to a write was lost, botocore's retry fails on its own first success.
    answer = s3.get_object(Bucket=bucket, Key=key)
    return answer["ETag"] if answer["Body"].read() == body else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
