"""The history of costs: JSON lines in the home region's artifact bucket, appended to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layersmith.errors import ShipError
from layersmith.ship.aws import buckets, failures

if TYPE_CHECKING:
    from layersmith.ship.aws.clients import Aws

TRIES = 5


def append(aws: Aws, region: str, bucket: str, record: dict[str, Any]) -> str:
    """Add a line to the history, and return the whole; two runs at once lose no line.

    Args:
        aws: Clients of the account.
        region: The home region.
        bucket: Its artifact bucket.
        record: The line; one of the same ``date`` is replaced, so that a repeated run counts once.

    Raises:
        AwsFailure: S3 refused.
        ShipError: Others kept writing.
    """
    for _ in range(TRIES):
        text, etag = read(aws, region, bucket)
        kept = [line for line in text.splitlines() if json.loads(line)["date"] != record["date"]]
        whole = "\n".join([*kept, json.dumps(record, sort_keys=True)]) + "\n"
        condition: dict[str, Any] = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        with failures.explained(region, "s3"):
            try:
                aws.s3(region).put_object(
                    Bucket=bucket,
                    Key=buckets.COSTS,
                    Body=whole.encode(),
                    ContentType="application/x-ndjson",
                    **condition,
                )
            except ClientError as error:
                if failures.is_conflict(error):
                    continue
                raise
        return whole
    raise ShipError(
        f"{region}: the history of costs kept changing while it was being updated",
        hint="run it again",
    )


def read(aws: Aws, region: str, bucket: str) -> tuple[str, str | None]:
    """Return the history and its ETag; nothing where there is none.

    Raises:
        AwsFailure: S3 refused.
    """
    with failures.explained(region, "s3"):
        try:
            answer = aws.s3(region).get_object(Bucket=bucket, Key=buckets.COSTS)
        except ClientError as error:
            if failures.is_missing(error):
                return "", None
            raise
        return answer["Body"].read().decode(), answer["ETag"]
