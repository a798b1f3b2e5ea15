"""Gets released zips back from the artifact buckets, so that a region catches up with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from layersmith import cache
from layersmith.errors import ShipError
from layersmith.ship import buckets, failures, options, regions, wanted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from layersmith.plan import Target
    from layersmith.ship.aws import Aws


def fetch(args: argparse.Namespace, targets: Sequence[Target], root: Path) -> int:
    """Put the zips of the targets' versions into dist/ where they are not there yet.

    Args:
        args: Parsed options of selection and account.
        targets: The targets.
        root: Folder that paths in layers.yaml are relative to.

    Returns:
        How many zips were fetched.

    Raises:
        ShipError: A version is in no bucket, or what is there is damaged.
        AwsFailure: S3 refused.
    """
    count = 0
    for target in targets:
        if (args.dist / f"{target.stem}.zip").is_file():
            continue
        names = regions.expand(tuple(args.region or target.settings.regions))
        if not any(_from(args, region, target) for region in names):
            raise ShipError(
                f"version {target.version} is in no artifact bucket",
                target=target.identifier,
                cause="it was never published, or was published by another stack",
                hint="build it: `nox -s build`",
            )
        wanted.one(target, args.dist, root, names)
        count += 1
    return count


def _from(args: argparse.Namespace, region: str, target: Target) -> bool:
    """Fetch a target's files from one region's bucket; return whether its zip was there."""
    aws = options.accounts(args, [region])[region]
    bucket = buckets.artifact_bucket(args.stack, aws.account(region), region)
    prefix = f"{buckets.ARTIFACTS}{target.layer}/{target.version}/{target.stem}."
    keys = _keys(aws, region, bucket, prefix)
    # The zip comes last: a killed fetch is seen by the zip that is not there.
    for key in sorted(keys, key=lambda key: key.endswith(".zip")):
        with failures.explained(region, "s3"):
            body = aws.s3(region).get_object(Bucket=bucket, Key=key)["Body"]
            with cache.atomic_writer(args.dist / key.rpartition("/")[2]) as stream:
                for chunk in body.iter_chunks(1 << 20):
                    stream.write(chunk)
    return f"{prefix}zip" in keys


def _keys(aws: Aws, region: str, bucket: str, prefix: str) -> list[str]:
    with failures.explained(region, "s3"):
        try:
            answer = aws.s3(region).list_objects_v2(Bucket=bucket, Prefix=prefix)
        except ClientError as error:
            if failures.is_missing(error):
                return []
            raise
    return [str(one.get("Key")) for one in answer.get("Contents", ())]
